"""What the options of TRL take that a recipe hands on: kinds, as the source of TRL has them, ranges and words.

TRL itself looks at few of them before the model is loaded, and at some never. No torch is imported.
"""

from __future__ import annotations

import ast
import functools
import json
import re
from collections.abc import Mapping
from dataclasses import Field
from importlib.util import find_spec
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

from causal_attrib.errors import InputError
from causal_attrib.io.parsing import shown
from causal_attrib.training.recipe.file import read_value
from causal_attrib.training.recipe.keys import Range

# Where the options are defined, by package; what a class has itself goes before what it inherits.
_CONFIGS = (
    ("trl", "trainer/grpo_config.py", "GRPOConfig"),
    ("trl", "trainer/dpo_config.py", "DPOConfig"),
    ("trl", "trainer/base_config.py", "_BaseConfig"),
    ("transformers", "training_args.py", "TrainingArguments"),
)
_KINDS = ("bool", "int", "float", "str", "list[str]", "list[float]", "dict", "None")

_SHARE, _COUNT, _WHOLE, _POSITIVE = Range(0, 1), Range(1), Range(0), Range(0, above=True)
# Options that have a plain range. What is out of it ends a run with the model loaded, or trains something else.
RANGES = {
    **dict.fromkeys(("epsilon", "epsilon_high", "max_grad_norm", "adam_epsilon"), Range(0)),
    **dict.fromkeys(("router_aux_loss_coef", "neftune_noise_alpha"), Range(0)),
    **dict.fromkeys(("delta", "repetition_penalty", "vllm_server_timeout", "off_policy_mask_threshold"), _POSITIVE),
    **dict.fromkeys(("sapo_temperature_neg", "sapo_temperature_pos", "discopop_tau"), _POSITIVE),
    **dict.fromkeys(("vllm_importance_sampling_clip_max", "vllm_importance_sampling_cap"), _POSITIVE),
    **dict.fromkeys(("top_p", "vllm_gpu_memory_utilization"), Range(0, 1, above=True)),
    **dict.fromkeys(("min_p", "top_entropy_quantile", "ref_model_mixup_alpha", "ld_alpha"), _SHARE),
    **dict.fromkeys(("adam_beta1", "adam_beta2"), Range(0, 1, below=True)),
    "label_smoothing": Range(0, 0.5),
    **dict.fromkeys(("num_iterations", "steps_per_generation", "generation_batch_size"), _COUNT),
    **dict.fromkeys(("num_generations_eval", "per_device_eval_batch_size", "eval_accumulation_steps"), _COUNT),
    **dict.fromkeys(("pad_to_multiple_of", "ref_model_sync_steps", "max_length", "dataset_num_proc"), _COUNT),
    "precompute_ref_batch_size": _COUNT,
    **dict.fromkeys(("vllm_tensor_parallel_size", "vllm_max_model_length", "dataloader_prefetch_factor"), _COUNT),
    **dict.fromkeys(("ddp_timeout", "ddp_bucket_cap_mb", "torch_empty_cache_steps"), _COUNT),
    **dict.fromkeys(("top_k", "dataloader_num_workers", "eval_delay", "max_tool_calling_iterations"), _WHOLE),
    "num_completions_to_print": _WHOLE,
    "data_seed": Range(0, 2**32 - 1),
    **dict.fromkeys(("vllm_server_port", "vllm_group_port"), Range(1, 2**16 - 1)),
}
_LEVELS = ("passive", "detail", "debug", "info", "warning", "error", "critical")
# Options that take one of these words.
CHOICES = {
    "importance_sampling_level": ("token", "sequence"),
    "scale_rewards": ("group", "batch", "none"),
    "multi_objective_aggregation": ("sum_then_normalize", "normalize_then_sum"),
    "vllm_mode": ("colocate", "server"),
    "vllm_importance_sampling_mode": ("sequence_mask", "sequence_truncate", "token_mask", "token_truncate"),
    "f_divergence_type": ("reverse_kl", "forward_kl", "js_divergence", "alpha_divergence"),
    "truncation_mode": ("keep_start", "keep_end"),
    "log_level": _LEVELS,
    "log_level_replica": _LEVELS,
    "dataloader_multiprocessing_context": ("fork", "spawn", "forkserver"),
}
# Of those that take keys with values, the ones whose text is a file; of others it is JSON.
_FILES = ("accelerator_config", "deepspeed", "fsdp_config")
# What torch's checkpoint takes; and what TRL tells a chat template itself.
_OF_CHECKPOINT = ("use_reentrant", "preserve_rng_state", "determinism_check", "debug", "early_stop")
_OF_TRL = (
    *("conversation", "messages", "tools", "chat_template", "add_generation_prompt", "continue_final_message"),
    *("tokenize", "tokenizer_kwargs", "processor_kwargs", "padding", "truncation", "max_length"),
    *("return_dict", "return_tensors", "return_assistant_tokens_mask", "load_audio_from_video"),
)
# What `generation_kwargs` may say in the place of the options of the same names.
_SAMPLING = {"top_p": "float", "top_k": "int", "min_p": "float", "repetition_penalty": "float"}


@functools.cache
def options_of_trl() -> Mapping[str, Mapping[str, str]] | None:
    """The options of `GRPOConfig` and `DPOConfig` with their kinds, from the source; None if it is not where it was."""
    own: dict[str, dict[str, str]] = {}
    for package, file, name in _CONFIGS:
        spec = find_spec(package)
        home = spec.submodule_search_locations if spec is not None else None
        try:
            tree = ast.parse((Path(next(iter(home or ()))) / file).read_text("utf-8"))
        except (OSError, StopIteration, SyntaxError, ValueError):
            return None
        body = next((node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name), None)
        if body is None:
            return None
        own[name] = {
            node.target.id: ast.unparse(node.annotation)
            for node in body
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
        }
    shared = own["TrainingArguments"] | own["_BaseConfig"]
    return {name: shared | own[name] for name in ("GRPOConfig", "DPOConfig")}


def kind_of(field: Field) -> str:
    """The kind of a field of TRL's configs, as its source has it."""
    if isinstance(field.type, str):
        return field.type
    parts = get_args(field.type) if get_origin(field.type) in (Union, UnionType) else (field.type,)
    return " | ".join(
        part.__name__ if isinstance(part, type) and get_origin(part) is None else str(part) for part in parts
    )


def kinds_in(kind: str) -> set[str]:
    """The kinds of values that a recipe can hold; none where it is of a kind that is not known here.

    >>> sorted(kinds_in("dict[str, Any] | str | None")), kinds_in("SchedulerType | str"), kinds_in("ParallelismConfig")
    (['None', 'dict', 'str'], {'str'}, set())
    """
    found = set()
    for name, inner in re.findall(r"([\w.]+)(\[[^\]]*\])?", kind):
        if name == "list":
            found.add("list[float]" if inner == "[float]" else "list[str]")
        elif name.endswith("Literal"):
            found.add("bool" if inner in ("[False]", "[True]") else "str")
        elif name.removesuffix("Type") in _KINDS:
            found.add(name.removesuffix("Type"))
    return found


def read_option(name: str, value: Any, kind: str, ranges: Mapping[str, Range] = RANGES) -> Any:
    """The value of an option of TRL as it is to be told.

    >>> read_option("save_strategy", False, "SaveStrategy | str"), read_option("repetition_penalty", 2, "float")
    ('no', 2.0)

    Args:
        kind: as the source of TRL has it.

    Raises:
        InputError: the value is of another kind, or out of its range, or none of the words there are.
    """
    kinds = kinds_in(kind)
    if value is None or not kinds - {"None"}:
        return value
    read = _as_kind(name, value, kinds)
    if read is None:
        wanted = _wanted(name, kinds, ranges)
        raise InputError(f"The key {name!r} of the recipe is {shown(value)}; give {wanted}.")
    if isinstance(read, (int, float)) and not isinstance(read, bool) and name in ranges and read not in ranges[name]:
        raise InputError(f"The key {name!r} of the recipe is {value}; give {_wanted(name, kinds, ranges)}.")
    # TRL reads true and false as group and none itself.
    if name in CHOICES and read not in CHOICES[name] and not (name == "scale_rewards" and isinstance(read, bool)):
        raise InputError(f"There is no {name} {shown(value)}; choose one of {', '.join(CHOICES[name])}.")
    if name == "optim_args" and read and any(part.count("=") != 1 for part in read.split(",")):
        raise InputError(
            f"The key 'optim_args' of the recipe is {shown(value)}; give names with values, such as rank=128,scale=2."
        )
    for key in read if isinstance(read, dict) else ():
        if name.endswith("checkpointing_kwargs") and key not in _OF_CHECKPOINT:
            raise InputError(f"There is no {key!r} in {name}; choose from {', '.join(_OF_CHECKPOINT)}.")
        if name == "chat_template_kwargs" and key in _OF_TRL:
            raise InputError(f"TRL decides {key!r} of a chat template itself; leave it out of {name}.")
    if name == "generation_kwargs" and isinstance(read, dict):
        return {
            key: read_option(key, part, _SAMPLING[key], ranges) if key in _SAMPLING else part
            for key, part in read.items()
        }
    return read


def _as_kind(name: str, value: Any, kinds: set[str]) -> Any:
    """None where the value is of none of these kinds."""
    text = "str" in kinds and "dict" not in kinds
    if isinstance(value, str) and (not kinds & {"str", "list[str]"} or "int" in kinds):
        value = read_value(value)  # a number in quotes
    if isinstance(value, bool):
        if "bool" in kinds or name == "scale_rewards":
            return value
        # YAML reads yes and no so, and TRL has words here.
        return ("yes" if value else "no") if text and "int" not in kinds else None
    if isinstance(value, (int, float)):
        if "int" in kinds and float(value).is_integer():
            return int(value)
        if "float" in kinds:
            return float(value)
        if "bool" in kinds and value in (0, 1):
            return bool(value)
        if "list[float]" in kinds:
            return [float(value)]
        return str(value) if text and "int" not in kinds else None
    if isinstance(value, str):
        if "dict" in kinds and name not in _FILES:
            return value if _is_json(value) else None
        if name == "pad_to_multiple_of":
            return value if value.lower() in ("auto", "none", "null") else None
        return value if "str" in kinds else [value] if "list[str]" in kinds else None
    if isinstance(value, list):
        part = next((kind[5:-1] for kind in ("list[str]", "list[float]") if kind in kinds), None)
        read = [None if part is None else _as_kind(name, one, {part}) for one in value]
        return read if part is not None and None not in read else None
    return value if isinstance(value, dict) and "dict" in kinds else None


def _is_json(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


def _wanted(name: str, kinds: set[str], ranges: Mapping[str, Range]) -> str:
    if name == "pad_to_multiple_of":
        return "a whole number from 1 up, or auto"
    if name in CHOICES:
        return f"one of {', '.join(CHOICES[name])}"
    within = str(ranges.get(name, ""))
    said = {
        "bool": "true or false",
        "int": f"a whole number {within}".rstrip(),
        "float": f"a number {within}".rstrip(),
        "list[float]": "a list of numbers",
        "list[str]": "a list of texts",
        "str": "a file" if name in _FILES else "text" if "dict" not in kinds else "",
        "dict": "keys with values, such as {name: value}",
    }
    return ", or ".join(words for kind, words in said.items() if kind in kinds and words)

"""What can be found wrong in a recipe before torch is imported, which takes seconds.

`copo train` calls it first; `training.plan` finds the rest. Names of TRL's settings are read from TRL's source.
"""

from __future__ import annotations

import ast
import math
from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from causal_attrib.errors import InputError
from causal_attrib.io.model_options import check_choice
from causal_attrib.scores.settings import CausalSettings
from causal_attrib.training.recipe.file import unknown_key
from causal_attrib.training.recipe.keys import LOSSES, METHOD, PREFERENCES, REWARDS, SCORES, Recipe, keys
from causal_attrib.training.recipe.method import DPO, Method, check_loss_type, choose_method
from causal_attrib.training.trainers.checkpoints import check_free, check_goes_on, find_checkpoint, last_checkpoint

# Digits of a whole number.
_LONG = 18
# Settings of TRL's DPO that the loss of SymMPO, or its collator, does not look at.
_NOT_OF_SYMMPO = (
    *("loss_type", "loss_weights", "label_smoothing", "f_divergence_type", "f_alpha_divergence_coef"),
    *("use_weighting", "ld_alpha", "discopop_tau", "padding_free", "truncation_mode", "pad_to_multiple_of"),
    *("router_aux_loss_coef", "use_liger_kernel"),
)
# Settings of TRL that take one of these words, the first by default. TRL looks at some behind the first sampling only.
_CHOICES = {
    "importance_sampling_level": ("token", "sequence"),
    "scale_rewards": ("group", "batch", "none"),
    "multi_objective_aggregation": ("sum_then_normalize", "normalize_then_sum"),
    "vllm_mode": ("colocate", "server"),
    "vllm_importance_sampling_mode": ("sequence_mask", "sequence_truncate", "token_mask", "token_truncate"),
}
# Where the settings are defined, by package.
_CONFIGS = (
    ("trl", "trainer/grpo_config.py", "GRPOConfig"),
    ("trl", "trainer/dpo_config.py", "DPOConfig"),
    ("trl", "trainer/base_config.py", "_BaseConfig"),
    ("transformers", "training_args.py", "TrainingArguments"),
)


def check_recipe(recipe: Recipe, resume: str | None = None) -> Path | None:
    """Check what needs neither torch nor the rows.

    Args:
        resume: "last", or a checkpoint; None begins anew.

    Returns:
        The checkpoint to go on from, if any.

    Raises:
        InputError: something is wrong.
    """
    for key in keys():
        check_numbers(key.name, getattr(recipe, key.name), *key.metadata["range"])
    for name, value in recipe.others.items():
        check_numbers(name, value)
    method = method_of(recipe)
    _check_keys(recipe)
    if recipe.method == "copo":
        given = recipe.group(SCORES)
        given["batch_size"] = given.pop("scoring_batch_size", CausalSettings.batch_size)
        CausalSettings(**{field.name: given[field.name] for field in fields(CausalSettings) if field.name in given})
    _check_loss(recipe, method)
    for name in recipe.reward:
        check_reward_name(name)
    if recipe.token_reward is not None:
        if recipe.method in PREFERENCES:
            raise InputError(
                f"{recipe.method} has no advantages, to which a token_reward could be added; leave it out."
            )
        if ":" not in recipe.token_reward:
            raise InputError(f"The token_reward {recipe.token_reward!r} names no function; give module:function.")
    if recipe.reward_weights is not None and len(recipe.reward_weights) != len(recipe.reward):
        raise InputError(
            f"There are {len(recipe.reward)} rewards and {len(recipe.reward_weights)} reward_weights; give one for "
            "each."
        )
    if recipe.full and (recipe.load_in_4bit or recipe.load_in_8bit):
        raise InputError("Quantised weights cannot be trained themselves; leave out --full, or the quantisation.")
    if recipe.freeze_vision and not recipe.full:
        raise InputError("freeze_vision is for --full: adapters leave the vision tower as it is; leave it out.")
    for name in ("lora_targets", "modules_to_save", "use_dora", "use_rslora"):
        if recipe.full and getattr(recipe, name):
            raise InputError(f"{name} is of adapters, and --full trains all weights; leave out one of them.")
    if recipe.data is None:
        raise InputError("There is no data to train on; give a file of rows with --data, or in the recipe.")
    for path in filter(None, (recipe.data, recipe.eval_file)):
        check_there(path)
    # One on the hub is asked for when all the rest is known to be right.
    if recipe.model is not None and (Path(recipe.model).exists() or recipe.model.count("/") > 1):
        check_choice(
            recipe.model,
            revision=recipe.revision,
            dtype=recipe.dtype,
            attn_implementation=recipe.attn_implementation,
            trust_remote_code=recipe.trust_remote_code,
        )
    return _checkpoint(recipe, resume)


def check_reward_name(name: str) -> None:
    """Raises InputError for the name of a reward that is none of ours and no path of a function."""
    if name not in REWARDS and ":" not in name and "." not in name:
        raise InputError(f"There is no reward {name!r}; choose one of {', '.join(REWARDS)}, or give module:function.")


def check_there(path: str) -> None:
    """Raises InputError for rows that are not there."""
    try:
        there = Path(path).exists()
    except (OSError, ValueError):  # a name that is too long, or holds a null character
        there = False
    if not there:
        raise InputError(f"There is no file {path[:80]}; check the path.")


def method_of(recipe: Recipe) -> Method:
    """The method of a recipe with its settings."""
    settings = recipe.group(METHOD)
    if recipe.method not in PREFERENCES:
        settings.pop("delta", None)  # which then is TRL's
    name = settings.pop("method")
    return choose_method(
        name, **{key: tuple(value) if isinstance(value, list) else value for key, value in settings.items()}
    )


def check_numbers(name: str, value: Any, least: float = -math.inf, most: float = math.inf) -> None:
    """Raises InputError for a number that is none, has no end, or is out of its range; also within lists.

    >>> check_numbers("temperature", math.nan)
    Traceback (most recent call last):
    causal_attrib.errors.InputError: The key 'temperature' of the recipe is nan; give a number.
    """
    if isinstance(value, (list, tuple)):
        for part in value:
            check_numbers(name, part, least, most)
    elif isinstance(value, dict):
        for part in value.values():
            check_numbers(name, part)
    elif isinstance(value, int) and abs(value) >= 10**_LONG:
        raise InputError(f"The key {name!r} of the recipe is a number of more than {_LONG} digits; give a smaller one.")
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        # The exponent of CE-PO's mean may be infinite: then it is the maximum.
        if math.isnan(value) or (math.isinf(value) and name != "p"):
            raise InputError(f"The key {name!r} of the recipe is {value}; give a number.")
        if not least <= value <= most:
            wanted = f"from {least:.12g} up" if most == math.inf else f"from {least:.12g} to {most:.12g}"
            raise InputError(f"The key {name!r} of the recipe is {value}; give a number {wanted}.")


def _check_keys(recipe: Recipe) -> None:
    if "resume_from_checkpoint" in recipe.others:
        raise InputError(
            "The key resume_from_checkpoint is not read; go on with a run by --resume, or by --resume FOLDER from one "
            "checkpoint."
        )
    if recipe.method == "symmpo":
        given = ["loss_type"] * (recipe.loss_type is not None) + list(recipe.others)
        for name in given:
            if name in _NOT_OF_SYMMPO:
                raise InputError(f"symmpo has a loss of its own, on which {name!r} has no effect; leave it out.")
    known = _settings_of_trl()
    if known is not None:
        check_known(recipe, known["GRPOConfig"], known["DPOConfig"])


def check_known(recipe: Recipe, of_grpo: set[str], of_dpo: set[str]) -> None:
    """Raises InputError for a key that neither we nor TRL know, or that is of the other of TRL's trainers.

    Args:
        of_grpo, of_dpo: names of the settings of `GRPOConfig` and `DPOConfig`.
    """
    every = of_grpo | of_dpo | {key.name for key in keys()}
    for name in recipe.others:
        if name not in every:
            raise unknown_key(name, every)
        if name not in (of_dpo if recipe.method in PREFERENCES else of_grpo):
            raise InputError(f"{recipe.method} takes no key {name!r}; leave it out.")


def _settings_of_trl() -> dict[str, set[str]] | None:
    """Names of the settings of TRL's configs, read from their source; None if they do not stand where they did."""
    own: dict[str, set[str]] = {}
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
            node.target.id for node in body if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
        }
    shared = own["_BaseConfig"] | own["TrainingArguments"]
    return {name: own[name] | shared for name in ("GRPOConfig", "DPOConfig")}


def _check_loss(recipe: Recipe, method: Method) -> None:
    """What TRL says behind the first sampling only."""
    if isinstance(method, DPO):
        return
    if recipe.loss_type is not None and recipe.loss_type.lower() == "gspo":
        raise InputError(
            "gspo is no loss_type but a ratio of whole sequences; set importance_sampling_level: sequence."
        )
    if recipe.loss_type is not None and recipe.loss_type not in LOSSES:
        raise InputError(f"There is no loss_type {recipe.loss_type!r}; choose one of {', '.join(LOSSES)}.")
    for name, among in _CHOICES.items():
        value = recipe.others.get(name, among[0])
        # YAML reads no as false, and TRL false as none.
        if value not in among and not (name == "scale_rewards" and isinstance(value, bool)):
            raise InputError(f"There is no {name} {value!r}; choose one of {', '.join(among)}.")
    check_loss_type(method, recipe.loss_type or "grpo")
    for name, reason in _refused(recipe).items():
        if recipe.others.get(name):
            raise InputError(f"{name} {reason}.")


def _refused(recipe: Recipe) -> dict[str, str]:
    """Options of TRL that this run cannot have, and why."""
    continuous = "does not take models that see, in TRL; sample with use_vllm, or as it is"
    refused = {
        "use_transformers_continuous_batching": continuous,
        "use_transformers_paged": continuous,
    }
    if not recipe.full:
        refused["sync_ref_model"] = (
            "moves a reference model, and adapters have none: theirs is the model without them; give --full, or leave "
            "it out"
        )
    elif not recipe.beta:
        refused["sync_ref_model"] = "moves a reference model, and without beta there is none; set beta, or leave it out"
    if find_spec("liger_kernel") is None:
        refused["use_liger_kernel"] = "needs Liger: pip install liger-kernel, or leave it out"
    return refused


def _checkpoint(recipe: Recipe, resume: str | None) -> Path | None:
    if resume is None:
        if last_checkpoint(recipe.folder) is not None:
            raise InputError(
                f"{recipe.folder} holds the checkpoints of another run; go on with it by --resume, or choose another "
                "output_dir."
            )
        check_free(recipe.folder)
        return None
    checkpoint = find_checkpoint(recipe.folder, resume)
    if checkpoint is None:
        check_free(recipe.folder)
    else:
        check_goes_on(checkpoint, recipe)
    return checkpoint

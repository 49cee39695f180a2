"""What can be found wrong in a recipe before torch is imported, which takes seconds.

`copo train` calls it first; `training.plan` finds the rest. What TRL's own options take is in `trl_options`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from causal_attrib.errors import InputError
from causal_attrib.io.model_options import check_choice
from causal_attrib.scores.settings import CausalSettings
from causal_attrib.training.recipe.file import unknown_key
from causal_attrib.training.recipe.keys import (
    LOSSES,
    LOSSES_OF_DPO,
    METHOD,
    PREFERENCES,
    REWARDS,
    SCORES,
    Range,
    Recipe,
    keys,
)
from causal_attrib.training.recipe.method import AVERAGED, DPO, Method, check_loss_type, choose_method
from causal_attrib.training.recipe.trl_options import RANGES, options_of_trl, read_option
from causal_attrib.training.trainers.checkpoints import check_free, check_goes_on, find_checkpoint, last_checkpoint

# Digits of a whole number.
_LONG = 18
_ANY = Range()
# Settings of TRL's DPO that the loss of SymMPO, or its collator, does not look at.
_NOT_OF_SYMMPO = (
    *("loss_type", "loss_weights", "label_smoothing", "f_divergence_type", "f_alpha_divergence_coef"),
    *("use_weighting", "ld_alpha", "discopop_tau", "padding_free", "truncation_mode", "pad_to_multiple_of"),
    *("router_aux_loss_coef", "use_liger_kernel"),
)
# Options that do nothing here.
_SCRIPTS = "is read by scripts of transformers alone, and has no effect here; leave it out."
_NOT_READ = {
    "resume_from_checkpoint": "is not read; go on with a run by --resume, or by --resume FOLDER from one checkpoint.",
    "do_train": _SCRIPTS,
    "do_predict": _SCRIPTS,
    "do_eval": "has no effect: whether there are evaluations is decided by eval_file; leave it out.",
    "label_smoothing_factor": "has no effect on these losses; leave it out.",
    "parallelism_config": "cannot be set in a recipe; leave it out.",
}
# Options of TRL that it reads only where another one is as it is here.
_READ_WITH = {
    **dict.fromkeys(("ref_model_mixup_alpha", "ref_model_sync_steps"), ("sync_ref_model", True)),
    **dict.fromkeys(("entropy_coef_min", "entropy_coef_max", "entropy_coef_delta"), ("use_adaptive_entropy", True)),
    "entropy_target": ("use_adaptive_entropy", True),
    **dict.fromkeys(("num_completions_to_print", "log_unique_prompts"), ("log_completions", True)),
    **dict.fromkeys(("sapo_temperature_neg", "sapo_temperature_pos"), ("loss_type", "sapo")),
    **dict.fromkeys(("vespo_k_pos", "vespo_k_neg", "vespo_lambda_pos", "vespo_lambda_neg"), ("loss_type", "vespo")),
    "discopop_tau": ("loss_type", "discopop"),
    "f_alpha_divergence_coef": ("f_divergence_type", "alpha_divergence"),
}
# Optimizers of the gradients of some layers.
_OF_LAYERS = re.compile(r"(galore|apollo)_(adamw|adamw_8bit|adafactor)(_layerwise)?")
# Options of evaluations.
_OF_EVALUATIONS = (
    *("eval_steps", "eval_strategy", "eval_on_start", "eval_delay", "eval_accumulation_steps"),
    *("num_generations_eval", "per_device_eval_batch_size"),
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
        check_numbers(key.name, getattr(recipe, key.name), key.metadata["range"])
    for name, value in recipe.others.items():
        check_numbers(name, value)
    _check_length(recipe)
    method = method_of(recipe)
    _check_keys(recipe)
    _check_effect(recipe, method)
    _check_effect_in_trl(recipe)
    if recipe.method == "copo":
        given = recipe.group(SCORES)
        given["batch_size"] = given.pop("scoring_batch_size", CausalSettings.batch_size)
        CausalSettings(**{field.name: given[field.name] for field in fields(CausalSettings) if field.name in given})
    _check_loss(recipe, method)
    _check_rewards(recipe)
    if recipe.token_reward is not None:
        if recipe.method in PREFERENCES:
            raise InputError(
                f"{recipe.method} has no advantages, to which a token_reward could be added; leave it out."
            )
        if ":" not in recipe.token_reward:
            raise InputError(f"The token_reward {recipe.token_reward!r} names no function; give module:function.")
    if recipe.full and (recipe.load_in_4bit or recipe.load_in_8bit):
        raise InputError("Quantised weights cannot be trained themselves; leave out --full, or the quantisation.")
    if recipe.freeze_vision and not recipe.full:
        raise InputError("freeze_vision is for --full: adapters leave the vision tower as it is; leave it out.")
    if recipe.lora_targets is not None and not recipe.lora_targets:
        raise InputError("lora_targets names no layer; name some, such as q_proj and v_proj, or leave it out.")
    if recipe.modules_to_save is not None and not recipe.modules_to_save:
        raise InputError("modules_to_save names no part of the model; name some, or leave it out.")
    for name in ("lora_targets", "modules_to_save"):
        for one in getattr(recipe, name) or ():
            if not one.strip():
                raise InputError(f"{name} has an empty name; name parts of the model, or leave it out.")
            if "," in one:
                raise InputError(f"{name} has {one!r} as one name; give a list, such as [q_proj, v_proj].")
            if one == "all-linear" and name == "lora_targets":
                raise InputError(f"{name} takes no all-linear; leave it out, and adapters go on every linear layer.")
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


def check_numbers(name: str, value: Any, wanted: Range = _ANY) -> None:
    """Raises InputError for a number that is none, has no end, or is out of its range; also within lists.

    >>> check_numbers("temperature", math.nan)
    Traceback (most recent call last):
    causal_attrib.errors.InputError: The key 'temperature' of the recipe is nan; give a number.
    """
    if isinstance(value, (list, tuple)):
        for part in value:
            check_numbers(name, part, wanted)
    elif isinstance(value, dict):
        for part in value.values():
            check_numbers(name, part)
    elif isinstance(value, int) and abs(value) >= 10**_LONG:
        raise InputError(f"The key {name!r} of the recipe is a number of more than {_LONG} digits; give a smaller one.")
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        # The exponent of CE-PO's mean may be infinite: then it is the maximum.
        if math.isnan(value) or (math.isinf(value) and name != "p"):
            raise InputError(f"The key {name!r} of the recipe is {value}; give a number.")
        if value not in wanted:
            raise InputError(f"The key {name!r} of the recipe is {value}; give a number {wanted}.")


def _check_length(recipe: Recipe) -> None:
    """Of 0 updates transformers makes an epoch."""
    if recipe.max_steps == 0:
        raise InputError("The key 'max_steps' of the recipe is 0; give 1 or more, or -1 to go by num_train_epochs.")
    if recipe.max_steps < 0 and recipe.num_train_epochs == 0:
        raise InputError(
            "The key 'num_train_epochs' of the recipe is 0, which is no training; give a number above 0, or max_steps."
        )


def _check_rewards(recipe: Recipe) -> None:
    for name in recipe.reward:
        check_reward_name(name)
    weights, counts = recipe.reward_weights, recipe.method not in PREFERENCES
    if counts and not recipe.reward:
        raise InputError(f"The key 'reward' of the recipe names no reward; give {', '.join(REWARDS)}, or several.")
    if weights is not None and len(weights) != len(recipe.reward):
        raise InputError(
            f"There are {len(recipe.reward)} rewards and {len(weights)} reward_weights; give one for each."
        )
    # A reward of tokens may be all that is to count.
    if counts and weights is not None and not any(weights) and recipe.token_reward is None:
        raise InputError("The reward_weights are all 0, so that no reward counts; give one that is not.")


def _check_effect(recipe: Recipe, method: Method) -> None:
    """Raises InputError for a key that was given and changes nothing."""
    spoil = getattr(method, "spoil", "patches")
    for name in ("patch_share", "patch_size"):
        if spoil != "patches" and getattr(recipe, name) is not None:
            raise InputError(f"{name} is of spoil: patches, and spoil is {spoil}; leave out {name}, or change spoil.")
    if recipe.method == "copo" and recipe.share is not None and recipe.subset != "entropy":
        raise InputError(
            f"share is of subset: entropy, and subset is {recipe.subset or 'all'}; leave out share, or change subset."
        )
    for name in _OF_EVALUATIONS:
        value = recipe.others.get(name, getattr(recipe, name, None))
        if recipe.eval_file is None and value not in (None, False, "no"):
            raise InputError(f"{name} is of evaluations, and there is no eval_file; give one, or leave out {name}.")
    if recipe.others.get("remove_unused_columns") not in (None, False, "no", "false"):
        raise InputError("remove_unused_columns would remove columns that rewards and scores read; leave it out.")


def _check_effect_in_trl(recipe: Recipe) -> None:
    optimizer, layers = recipe.others.get("optim"), recipe.others.get("optim_target_modules")
    of_layers = _OF_LAYERS.fullmatch(str(optimizer)) is not None
    if of_layers and not layers:
        raise InputError(f"{optimizer} is for layers that are named; give optim_target_modules, such as all-linear.")
    if layers and not of_layers:
        raise InputError(
            "optim_target_modules is of the optimizers galore and apollo; set optim to one of them, such as "
            "galore_adamw, or leave it out."
        )
    for name, value in recipe.others.items():
        if name in _READ_WITH and value not in (None, False):
            other, wanted = _READ_WITH[name]
            if recipe.others.get(other, getattr(recipe, other, None)) != wanted:
                said = "yes" if wanted is True else wanted
                raise InputError(f"{name} has no effect but with {other}: {said}; set that, or leave out {name}.")
    if recipe.others.get("dataloader_persistent_workers") is True and not recipe.others.get("dataloader_num_workers"):
        raise InputError(
            "dataloader_persistent_workers keeps workers, and there are none; set dataloader_num_workers or leave "
            "it out."
        )


def _check_keys(recipe: Recipe) -> None:
    for name in recipe.others:
        if name in _NOT_READ:
            raise InputError(f"The key {name} {_NOT_READ[name]}")
    if recipe.method == "symmpo":
        given = ["loss_type"] * (recipe.loss_type is not None) + list(recipe.others)
        for name in given:
            if name in _NOT_OF_SYMMPO:
                raise InputError(f"symmpo has a loss of its own, on which {name!r} has no effect; leave it out.")
    known = options_of_trl()
    if known is not None:
        check_known(recipe, set(known["GRPOConfig"]), set(known["DPOConfig"]))
        read_options(recipe, known["DPOConfig" if recipe.method in PREFERENCES else "GRPOConfig"])


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


def read_options(recipe: Recipe, kinds: Mapping[str, str]) -> dict[str, Any]:
    """The options of TRL that the recipe hands on, as they are to be told.

    Args:
        kinds: of each option, as the source of TRL has them.

    Raises:
        InputError: one is of another kind or out of its range.
    """
    ranges = dict(RANGES)
    if recipe.use_vllm:
        ranges["top_k"] = Range(-1)  # there too all tokens
    if (recipe.loss_type or "grpo") in AVERAGED:
        ranges["epsilon"] = Range(0, 1)  # the ratio is cut off at 1 - epsilon
    return {name: read_option(name, value, kinds[name], ranges) for name, value in recipe.others.items()}


def _check_loss(recipe: Recipe, method: Method) -> None:
    """What TRL says behind the first sampling only."""
    if isinstance(method, DPO):
        if recipe.beta == 0 and recipe.loss_type != "sft":
            raise InputError(f"The key 'beta' of the recipe is 0, and {recipe.method} learns nothing; give more.")
        if recipe.loss_type is not None and recipe.loss_type not in LOSSES_OF_DPO:
            raise InputError(f"There is no loss_type {recipe.loss_type!r}; choose one of {', '.join(LOSSES_OF_DPO)}.")
        return
    check_numbers("delta", recipe.delta, RANGES["delta"])
    if recipe.loss_type is not None and recipe.loss_type.lower() == "gspo":
        raise InputError(
            "gspo is no loss_type but a ratio of whole sequences; set importance_sampling_level: sequence."
        )
    if recipe.loss_type is not None and recipe.loss_type not in LOSSES:
        raise InputError(f"There is no loss_type {recipe.loss_type!r}; choose one of {', '.join(LOSSES)}.")
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
    if resume is None and last_checkpoint(recipe.folder) is not None:
        raise InputError(
            f"{recipe.folder} holds the checkpoints of another run; go on with it by --resume, or choose another "
            "output_dir."
        )
    checkpoint = None if resume is None else find_checkpoint(recipe.folder, resume)
    if checkpoint is None:
        check_free(recipe.folder)
    else:
        check_goes_on(checkpoint, recipe)
    return checkpoint

"""A recipe as TRL's own arguments: `GRPOConfig`, or `DPOConfig` for symmpo."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import torch

from causal_attrib.errors import InputError
from causal_attrib.training.recipe.check import check_known, read_options
from causal_attrib.training.recipe.keys import METHOD, PREFERENCES, SCORES, Recipe, keys
from causal_attrib.training.recipe.trl_options import kind_of, kinds_in

if TYPE_CHECKING:
    from trl import DPOConfig, GRPOConfig

# Learning rates that adapters and whole models are usually trained with.
LEARNING_RATE, LEARNING_RATE_FULL = 1e-5, 1e-6
# Optimizers that transformers makes of a model only.
_OF_A_MODEL = ("galore", "apollo", "lomo", "adalomo")
# SymMPO (arXiv 2506.11712). The authors' script for adapters has 5e-7 written into it, which looks like an accident.
LEARNING_RATE_SYMMPO, EPOCHS_SYMMPO = 5e-6, 2.0
SCHEDULE_SYMMPO = {"lr_scheduler_type": "cosine", "warmup_steps": 0.05, "weight_decay": 0.01}


def trl_arguments(recipe: Recipe) -> GRPOConfig | DPOConfig:
    """What TRL is told.

    Raises:
        InputError: a key that neither we nor TRL know, a value that TRL refuses, or a package that is not there.
    """
    from trl import DPOConfig, GRPOConfig

    preferences = recipe.method in PREFERENCES
    config = DPOConfig if preferences else GRPOConfig
    known = _names(config)
    check_known(recipe, _names(GRPOConfig), _names(DPOConfig))
    others = _as_told(recipe, config)
    _check_trackers(recipe.report_to)
    if recipe.use_vllm and find_spec("vllm") is None:
        raise InputError("use_vllm needs vLLM: pip install 'trl[vllm]', or leave it out.")

    ours = {key.name for key in keys() if key.metadata["group"] not in (METHOD, SCORES)} & known
    values = {name: getattr(recipe, name) for name in ours}
    values = {name: value for name, value in values.items() if value is not None}
    if recipe.learning_rate is None:
        values["learning_rate"] = LEARNING_RATE_FULL if recipe.full else LEARNING_RATE
        if preferences:
            values["learning_rate"] = LEARNING_RATE_SYMMPO
    if recipe.num_train_epochs is None:
        values["num_train_epochs"] = EPOCHS_SYMMPO if recipe.method == "symmpo" else 1.0
    if recipe.method == "symmpo":
        values = SCHEDULE_SYMMPO | values
    if recipe.loss_type is None and not preferences:
        # As in the papers of GRPO and COPO; TRL's own default is dapo.
        values["loss_type"] = "grpo"
    values |= {
        "bf16": has_bf16() if recipe.bf16 is None else recipe.bf16,
        "save_strategy": "steps",
        "disable_tqdm": True,  # progress is told by `run`
        "dataloader_pin_memory": torch.accelerator.is_available(),
        "use_cpu": not torch.accelerator.is_available(),
    }
    if recipe.eval_file is not None:
        group = recipe.per_device_train_batch_size if preferences else recipe.num_generations
        values |= {
            "eval_strategy": "steps",
            "eval_steps": recipe.eval_steps or recipe.save_steps,
            "per_device_eval_batch_size": group,
        }
    if preferences:
        values |= {"max_length": None, "beta": 0.1 if recipe.beta is None else recipe.beta}
    elif recipe.delta is not None:
        values["delta"] = recipe.delta
    with refused_in_a_sentence():
        arguments = config(**values | others)
        _check_optimizer(arguments)
    return arguments


def _check_optimizer(arguments: GRPOConfig | DPOConfig) -> None:
    """What transformers would say of optimizer and schedule when the model is loaded, where they are not the usual."""
    from transformers import Trainer, get_scheduler

    kind, schedule = (getattr(name, "value", name) for name in (arguments.optim, arguments.lr_scheduler_type))
    if kind not in ("adamw_torch", "adamw_torch_fused"):
        try:
            Trainer.get_optimizer_cls_and_kwargs(arguments)
        except ValueError:
            if not kind.startswith(_OF_A_MODEL):
                raise
    if schedule != "linear" or arguments.lr_scheduler_kwargs:
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=arguments.learning_rate)
        told = arguments.lr_scheduler_kwargs
        assert not isinstance(told, str)  # JSON has been read
        try:
            get_scheduler(schedule, optimizer, 0, 1000, scheduler_specific_kwargs=told)
        except (TypeError, ValueError, ZeroDivisionError) as error:
            reason = " ".join(str(error).split()).rstrip(".")
            raise InputError(
                f"lr_scheduler_type {schedule} does not go with these lr_scheduler_kwargs ({reason}); change one or "
                "the other."
            ) from error


def _as_told(recipe: Recipe, config: type) -> dict[str, Any]:
    """TRL's own options, each of its kind; one that is None and cannot be takes its default."""
    kinds = {field.name: kind_of(field) for field in dataclasses.fields(config)}
    return {
        name: value
        for name, value in read_options(recipe, kinds).items()
        if value is not None or "None" in kinds_in(kinds[name])
    }


def _names(config: type) -> set[str]:
    return {field.name for field in dataclasses.fields(config)}


def _check_trackers(names: Sequence[str]) -> None:
    from transformers.integrations.integration_utils import (
        INTEGRATION_TO_CALLBACK,
        get_available_reporting_integrations,
    )

    for name in (name for name in names if name != "none"):
        if name not in INTEGRATION_TO_CALLBACK:
            raise InputError(f"There is no tracker {name!r}; choose one of {', '.join(INTEGRATION_TO_CALLBACK)}.")
        if name not in get_available_reporting_integrations():
            raise InputError(f"The tracker {name} is not installed; pip install {name}, or leave report_to out.")


def has_bf16() -> bool:
    return torch.cuda.is_available() and torch.cuda.is_bf16_supported()


@contextmanager
def refused_in_a_sentence() -> Iterator[None]:
    """TRL and transformers refuse settings with these errors, whose first sentence says why."""
    try:
        yield
    except InputError:
        raise
    except (ValueError, TypeError, ImportError, NotImplementedError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"TRL refuses these settings: {reason[:300].rstrip('.')}.") from error

"""A model whose parameters FSDP 2 or ZeRO-3 has shared out, whole for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from torch import nn
from torch.distributed.fsdp import FSDPModule
from transformers.integrations.deepspeed import (
    is_deepspeed_zero3_enabled,
    set_hf_deepspeed_config,
    unset_hf_deepspeed_config,
)

if TYPE_CHECKING:
    from accelerate import DeepSpeedPlugin


@contextmanager
def gathered(model: nn.Module) -> Iterator[None]:
    """While it lasts every process has all parameters, and no forward waits for another process.

    Scores are taken by forwards of parts of the model, of which one process may need more than another: what FSDP and
    ZeRO-3 gather by themselves around a forward would wait for ever. It takes the memory of the whole model, as without
    them, while gradients and the state of the optimizer stay shared out.

    Args:
        model: with all that shares parameters out (`fully_shard`, DeepSpeed's engine); another is left as it is.
    """
    if getattr(model, "zero_optimization_partition_weights", bool)():
        with _without_zero3(model):
            yield
        return
    # The root comes first, which has to be set up before its parts.
    parts = [module for module in model.modules() if isinstance(module, FSDPModule)]
    for part in parts:
        part.set_reshard_after_forward(False, recurse=False)
        part.unshard()
    try:
        yield
    finally:
        for part in parts:
            # As accelerate sets it; forwards of the update, which all processes make, may gather again.
            part.set_reshard_after_forward(True, recurse=False)
            part.reshard()


@contextmanager
def _without_zero3(engine: nn.Module) -> Iterator[None]:
    """As TRL samples under ZeRO-3: parameters are gathered, and nothing is gathered by forwards."""
    import deepspeed
    from trl.models.utils import add_hooks, remove_hooks

    with deepspeed.zero.GatheredParameters(list(engine.parameters())):
        remove_hooks(engine)
        try:
            yield
        finally:
            add_hooks(engine)


@contextmanager
def loaded_whole(plugin: DeepSpeedPlugin | None) -> Iterator[None]:
    """While it lasts a model that is loaded is whole in every process, also under ZeRO-3.

    transformers would load into parameters that are shared out already, and fails (size mismatch, "the shape in current
    model is torch.Size([0])"). DeepSpeed shares a whole one out when training begins.

    Args:
        plugin: accelerate's; None without DeepSpeed.
    """
    if plugin is None or not is_deepspeed_zero3_enabled():
        yield
        return
    unset_hf_deepspeed_config()
    try:
        yield
    finally:
        set_hf_deepspeed_config(plugin.hf_ds_config)

"""Which ways of splitting a model over GPUs go with which method."""

from __future__ import annotations

from causal_attrib.errors import InputError
from causal_attrib.training.method import Method, SymMPO


def check_sharding(method: Method, *, fsdp: bool, zero_stage: int | None) -> None:
    """Raises InputError for a method that runs parts of the model, where these are split up.

    Args:
        fsdp: parameters are sharded by FSDP.
        zero_stage: of DeepSpeed; None without it.
    """
    if isinstance(method, SymMPO) or not (method.needs_effects or method.needs_entropy):
        return
    if fsdp or zero_stage == 3:
        raise InputError(
            f"The method {method.name} runs parts of the model, which FSDP and ZeRO-3 have split up; use ZeRO-2, DDP "
            "or one GPU."
        )

"""Which ways of splitting a model over GPUs go with which method."""

from __future__ import annotations

from causal_attrib.errors import InputError
from causal_attrib.training.recipe.method import CEPO, DPO, PAPO, Method


def check_sharding(method: Method, *, fsdp: bool, zero_stage: int | None, token_reward: bool = False) -> None:
    """Raises InputError for a method that runs parts of the model, or a second one, where these are split up.

    Args:
        fsdp: parameters are sharded by FSDP.
        zero_stage: of DeepSpeed; None without it.
        token_reward: log-probabilities are taken for a token reward.
    """
    if isinstance(method, DPO) or not (fsdp or zero_stage == 3):
        return
    if isinstance(method, (CEPO, PAPO)):
        raise InputError(
            f"The method {method.name} has not been tried under FSDP and ZeRO-3; use ZeRO-2, DDP or one GPU."
        )
    if method.needs_effects or method.needs_entropy or method.dependence is not None:
        raise InputError(
            f"The method {method.name} runs parts of the model, which FSDP and ZeRO-3 have split up; use ZeRO-2, DDP "
            "or one GPU."
        )
    if token_reward:
        raise InputError(
            "A token reward is given log-probabilities by running parts of the model, which FSDP and ZeRO-3 have split "
            "up; use ZeRO-2, DDP or one GPU."
        )

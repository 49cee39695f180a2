"""Which ways of splitting a model over GPUs go with which method."""

from __future__ import annotations

from causal_attrib.errors import InputError
from causal_attrib.training.recipe.method import CEPO, DPO, PAPO, Method


def check_sharding(method: Method, *, fsdp: int, zero_stage: int | None, token_reward: bool = False) -> None:
    """Raises InputError for a method that runs parts of the model, or a second one, where these are split up.

    FSDP 2 gives a model back whole for a while (`trainers.gathering`); FSDP 1 has made one vector of all parameters of
    a part, and ZeRO-3 gathers them by hooks that wait for all processes, of which one may run more forwards than
    another. papo's second forward is one that all processes make.

    Args:
        fsdp: the version of FSDP that shares parameters out; 0 for none.
        zero_stage: of DeepSpeed; None without it.
        token_reward: log-probabilities are taken for a token reward.
    """
    if isinstance(method, DPO) or not (fsdp or zero_stage == 3):
        return
    if isinstance(method, CEPO):
        raise InputError(
            "The method cepo has a frozen copy of the model beside it, which FSDP and ZeRO-3 would split up too; use "
            "ZeRO-2, DDP or one GPU."
        )
    if isinstance(method, PAPO) and fsdp < 2:
        raise InputError(
            "The method papo has two forwards in one loss, which has not been tried under FSDP 1 and ZeRO-3; use FSDP "
            "2 (fsdp_version: 2), ZeRO-2, DDP or one GPU."
        )
    runs_parts = method.needs_effects or method.needs_entropy or method.dependence is not None
    if (runs_parts or token_reward) and fsdp < 2:
        split = "ZeRO-3 has" if zero_stage == 3 else "FSDP 1 has"
        what = f"The method {method.name}" if runs_parts else "What asks log-probabilities for a token reward"
        raise InputError(
            f"{what} runs parts of the model, which {split} split up; use FSDP 2 (fsdp_version: 2), "
            "ZeRO-2, DDP or one GPU."
        )

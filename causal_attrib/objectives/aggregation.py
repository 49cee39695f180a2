"""Token losses to one number: what a long completion weighs against a short one.

    grpo      (1/B) sum_i (1/T_i) sum_t l_{i,t}     GRPO (arXiv 2402.03300); COPO as written
    bnpo      (1 / sum_i T_i) sum_i sum_t l_{i,t}   over the tokens of this batch
    dr_grpo   (1 / (B * L)) sum_i sum_t l_{i,t}     Dr.GRPO (arXiv 2503.20783); L: fixed budget of a completion
    dapo      (1 / M) sum_i sum_t l_{i,t}           DAPO (arXiv 2503.14476); M: tokens of the whole optimisation batch

The names are TRL's `loss_type`. T_i counts the tokens in the mask; a completion without any adds 0 and counts as one of
the B.

Over micro-batches of equal size, the mean of `grpo` or `dr_grpo` losses is the loss of the whole batch, and so is the
sum of `dapo` losses with the M of the whole. The mean of `bnpo` losses is not: each is normalised by its own tokens.

Axes: B completions, T tokens.
"""

from __future__ import annotations

from torch import Tensor

from causal_attrib.errors import InputError, check_range
from causal_attrib.objectives import inputs

LOSS_TYPES = ("grpo", "bnpo", "dr_grpo", "dapo")


def aggregate(
    loss_BT: Tensor,
    mask_BT: Tensor,
    loss_type: str = "grpo",
    *,
    max_length: int | None = None,
    batch_tokens: Tensor | float | None = None,
) -> Tensor:
    """One loss from those of the tokens.

    Args:
        loss_BT: (B, T), with gradient.
        mask_BT: 1 for tokens that count, 0 for padding (B, T).
        loss_type: one of `LOSS_TYPES`.
        max_length: L, needed for "dr_grpo": the most tokens a completion may have.
        batch_tokens: M, needed for "dapo": how many tokens count in the optimisation batch, all micro-batches taken
            together. Divide it by the number of processes if gradients are averaged over them.

    Returns:
        One number, float32 or float64; 0 if no token counts.

    Raises:
        InputError: shapes differ, a loss is NaN or infinite, the loss type is unknown or what it needs is missing.

    >>> import torch
    >>> loss_BT, mask_BT = torch.tensor([[1.0, 3.0, 2.0], [5.0, 9.0, 9.0]]), torch.tensor([[1, 1, 1], [1, 0, 0]])
    >>> aggregate(loss_BT, mask_BT).item(), aggregate(loss_BT, mask_BT, "bnpo").item()
    (3.5, 2.75)
    >>> aggregate(loss_BT, mask_BT, "dr_grpo", max_length=4).item()
    1.375
    >>> aggregate(loss_BT, mask_BT, "dapo", batch_tokens=10).item()
    1.100000...
    """
    if loss_type not in LOSS_TYPES:
        raise InputError(f"There is no loss type {loss_type!r}; choose one of {', '.join(LOSS_TYPES)}.")
    mask_BT = inputs.mask("mask_BT", mask_BT, loss_BT.shape)
    loss_BT = inputs.real("loss_BT", loss_BT, mask_BT)
    tokens_B = mask_BT.sum(-1)
    if loss_type == "grpo":
        return (loss_BT.sum(-1) / tokens_B.clamp(min=1)).mean()
    if loss_type == "bnpo":
        return loss_BT.sum() / tokens_B.sum().clamp(min=1)
    if loss_type == "dr_grpo":
        return loss_BT.sum() / (len(loss_BT) * _budget(max_length, tokens_B))
    return loss_BT.sum() / _tokens(batch_tokens, tokens_B)


def _budget(max_length: int | None, tokens_B: Tensor) -> int:
    if max_length is None:
        raise InputError("The loss type dr_grpo divides by a fixed length; give max_length, the most tokens allowed.")
    if max_length < max(1, int(tokens_B.max())):
        raise InputError(f"max_length is {max_length}, but a completion has {int(tokens_B.max())} tokens; raise it.")
    return max_length


def _tokens(batch_tokens: Tensor | float | None, tokens_B: Tensor) -> Tensor | float:
    if batch_tokens is None:
        raise InputError("The loss type dapo divides by the tokens of the whole optimisation batch; give batch_tokens.")
    # Where no token counts the loss is 0 / 1.
    check_range("batch_tokens", float(batch_tokens), 0)
    if batch_tokens == 0 and tokens_B.any():
        raise InputError("batch_tokens is 0, but tokens of this batch count; give the tokens of the whole batch.")
    return batch_tokens or 1

"""Inputs as the formulas want them: of the right shape, finite, and in float32 or wider."""

from __future__ import annotations

import torch
from torch import Tensor

from causal_attrib.errors import InputError


def real(name: str, values: Tensor, where: Tensor | None = None) -> Tensor:
    """The values in float32 (float64 stays float64), and 0 outside `where`.

    Entries outside `where` may hold anything, NaN too: they are replaced and not multiplied by 0, which would keep the
    NaN, in the gradient as well.

    Raises:
        InputError: an entry that counts is NaN or infinite.
    """
    values = values.to(torch.promote_types(values.dtype, torch.float32))
    if where is not None:
        values = values.masked_fill(~where, 0.0)
    if not values.isfinite().all():
        raise InputError(f"{name} holds NaN or infinity where a number is needed; look for what produced it.")
    return values


def mask(name: str, values: Tensor, shape: torch.Size) -> Tensor:
    """A mask as booleans.

    Raises:
        InputError: it is of another shape, or holds something else than 0 and 1.
    """
    check_shape(name, values, shape)
    if values.dtype != torch.bool and not ((values == 0) | (values == 1)).all():
        raise InputError(f"{name} must hold 0 and 1 only; give weights as advantages instead.")
    return values.bool()


def per_token(name: str, values: Tensor, shape: torch.Size) -> Tensor:
    """One number per completion (B,) or per token (B, T), spread to `shape` (B, T).

    Raises:
        InputError: it is neither.
    """
    if values.shape == shape[:1]:
        return values[:, None].expand(shape)
    if values.shape != shape:
        raise InputError(
            f"{name} has shape {tuple(values.shape)}; give one number per completion {tuple(shape[:1])} or per token "
            f"{tuple(shape)}."
        )
    return values


def per_completion(name: str, values: Tensor, count: int) -> Tensor:
    """One finite number per completion (B,).

    Raises:
        InputError: there is another number of them, or one is NaN or infinite.
    """
    if values.shape != (count,):
        raise InputError(
            f"{name} has shape {tuple(values.shape)}, but there are {count} completions; give one number for each."
        )
    return real(name, values)


def at_least_zero(name: str, values: Tensor, where: Tensor) -> Tensor:
    """As `real`, of numbers that are 0 or more.

    Raises:
        InputError: the shape is not that of the mask, or an entry that counts is NaN, infinite or negative.
    """
    check_shape(name, values, where.shape)
    values = real(name, values, where)
    if (values < 0).any():
        raise InputError(f"{name} holds negative numbers; give divergences, which are 0 or more.")
    return values


def check_shape(name: str, values: Tensor, shape: torch.Size) -> None:
    """
    Raises:
        InputError: the shape is not (B, T) as in the rest of the input.
    """
    if len(shape) != 2 or values.shape != shape:
        raise InputError(
            f"{name} has shape {tuple(values.shape)} and what it goes with {tuple(shape)}; both must be the same "
            "(completions, tokens)."
        )

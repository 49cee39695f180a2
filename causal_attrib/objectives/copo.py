"""COPO: what a reasoning token did to the outcome is added to the advantage of its completion.

COPO (arXiv 2508.04182v2):

    r_causal(o_t) = lambda_s * S_suff(o_t) + lambda_n * S_nec(o_t)
    Ahat_{i,t}    = A_i + r_causal_{i,t}     on reasoning tokens
    Ahat_{i,t}    = A_i                      on answer tokens

Scores are constants here, computed once per batch of rollouts: no gradient runs through them.

Axes: B completions, T tokens.
"""

from __future__ import annotations

import torch
from torch import Tensor

from causal_attrib.errors import InputError, check_range
from causal_attrib.objectives import inputs

NORMALISATIONS = ("clip", "minmax", "none")
ROUNDING = 1e-6


def causal_reward(
    sufficiency_BT: Tensor,
    necessity_BT: Tensor,
    reasoning_BT: Tensor,
    *,
    lambda_s: float = 0.35,
    lambda_n: float = 0.35,
    normalise: str = "clip",
) -> Tensor:
    """r_causal of each token; 0 outside the reasoning.

    The paper has both scores in [0, 1] and leaves open how they get there. Its worked example (below) rules out min-max
    per completion and (x + 1) / 2, so the default clips, which cuts negative necessity only.

    Args:
        sufficiency_BT, necessity_BT: scores (B, T) in [-1, 1]; outside the reasoning they may hold anything.
        reasoning_BT: 1 for reasoning tokens, 0 for answer, tags and padding (B, T).
        lambda_s, lambda_n: weights in [0, 1]; the paper's best are 0.35 and 0.35.
        normalise: "clip" to [0, 1]; "minmax" over the reasoning tokens of the batch, each score for itself (0 where it
            is the same everywhere); "none" keeps the signed scores.

    Returns:
        (B, T), float32 or float64, in [0, lambda_s + lambda_n]; with "none" it may also be negative.

    Raises:
        InputError: shapes differ, or a score of a reasoning token or a weight is out of its range.

    The words dog, brown, frisbee, grass, sunset, quickly of the paper:

    >>> sufficiency_BT = torch.tensor([[0.87, 0.68, 0.65, 0.71, 0.09, 0.11]])
    >>> necessity_BT = torch.tensor([[0.81, 0.54, 0.63, 0.61, 0.03, 0.03]])
    >>> [round(x, 3) for x in causal_reward(sufficiency_BT, necessity_BT, torch.ones(1, 6))[0].tolist()]
    [0.588, 0.427, 0.448, 0.462, 0.042, 0.049]
    """
    if normalise not in NORMALISATIONS:
        raise InputError(f"There is no normalisation {normalise!r}; choose one of {', '.join(NORMALISATIONS)}.")
    reasoning_BT = inputs.mask("reasoning_BT", reasoning_BT, sufficiency_BT.shape)
    inputs.check_shape("necessity_BT", necessity_BT, reasoning_BT.shape)
    check_range("lambda_s", lambda_s, 0, 1)
    check_range("lambda_n", lambda_n, 0, 1)
    sufficiency_BT = _normalised("sufficiency_BT", sufficiency_BT.detach(), reasoning_BT, normalise)
    necessity_BT = _normalised("necessity_BT", necessity_BT.detach(), reasoning_BT, normalise)
    return lambda_s * sufficiency_BT + lambda_n * necessity_BT


def copo_advantage(
    advantage: Tensor, causal_BT: Tensor, reasoning_BT: Tensor, *, center: int | None = None, gate: bool = False
) -> Tensor:
    """Ahat_{i,t} = A_i + r_causal_{i,t} on reasoning tokens, A_i elsewhere.

    As written, a wrong completion gets its bonus too, and a group of equal rewards moves: r_causal is never negative.
    `center` and `gate` are ways round it that are not the paper's. With a weighted advantage (`hero_advantage`) COPO
    and HERO are combined, which no paper does: Ahat = w * A + r_causal.

    Args:
        advantage: A_i (B,), or already one per token (B, T).
        causal_BT: from `causal_reward`.
        reasoning_BT: 1 for reasoning tokens (B, T).
        center: subtract the mean of r_causal over the tokens that get it, in every `center` completions that lie next
            to each other: G for a group, 1 for each completion by itself. What is added then sums to 0 there.
        gate: add r_causal only where A_i >= 0.

    Returns:
        (B, T), float32 or float64, without gradient.

    Raises:
        InputError: shapes differ, a number is NaN or infinite, or completions do not fall into `center`.

    >>> advantage_B, ones_BT = torch.tensor([1.0, -0.5]), torch.ones(2, 2)
    >>> causal_BT = torch.tensor([[0.6, 0.2], [0.7, 0.1]])
    >>> copo_advantage(advantage_B, causal_BT, torch.tensor([[1, 0], [1, 1]]))
    tensor([[ 1.6000,  1.0000], [ 0.2000, -0.4000]])
    >>> copo_advantage(advantage_B, causal_BT, ones_BT, center=2)
    tensor([[ 1.2000,  0.8000], [-0.2000, -0.8000]])
    >>> copo_advantage(advantage_B, causal_BT, ones_BT, gate=True)
    tensor([[ 1.6000,  1.2000], [-0.5000, -0.5000]])
    """
    reasoning_BT = inputs.mask("reasoning_BT", reasoning_BT, causal_BT.shape)
    advantage_BT = inputs.real("advantage", inputs.per_token("advantage", advantage.detach(), causal_BT.shape))
    gets_BT = reasoning_BT & (advantage_BT >= 0) if gate else reasoning_BT
    added_BT = inputs.real("causal_BT", causal_BT.detach(), gets_BT)
    if center is not None:
        added_BT = _centered(added_BT, gets_BT, center)
    return advantage_BT + added_BT


def flipped_share(before: Tensor, after_BT: Tensor, reasoning_BT: Tensor) -> Tensor:
    """Share of reasoning tokens that are pushed the other way than their completion: a number in [0, 1], to be logged.

    A token is flipped where A < 0 < Ahat or Ahat < 0 < A. Without reasoning tokens the share is 0.

    Args:
        before: A (B,) or (B, T).
        after_BT: Ahat (B, T).
        reasoning_BT: 1 for reasoning tokens (B, T).

    >>> flipped_share(torch.tensor([1.0, -0.5]), torch.tensor([[1.6, 1.2], [0.2, -0.4]]), torch.ones(2, 2)).item()
    0.25
    """
    reasoning_BT = inputs.mask("reasoning_BT", reasoning_BT, after_BT.shape)
    before_BT = inputs.real("before", inputs.per_token("before", before, after_BT.shape), reasoning_BT)
    flipped_BT = before_BT.sign() * inputs.real("after_BT", after_BT, reasoning_BT).sign() < 0
    return flipped_BT.sum() / reasoning_BT.sum().clamp(min=1)


def _normalised(name: str, score_BT: Tensor, reasoning_BT: Tensor, normalise: str) -> Tensor:
    score_BT = inputs.real(name, score_BT, reasoning_BT)
    if (score_BT.abs() > 1 + ROUNDING).any():
        raise InputError(f"{name} holds numbers outside [-1, 1]; scores are differences of outcomes from 0 to 1.")
    if normalise == "clip":
        return score_BT.clamp(0.0, 1.0)
    if normalise == "minmax" and reasoning_BT.any():
        low, high = score_BT[reasoning_BT].aminmax()
        span = torch.where(high > low, high - low, 1.0)
        return ((score_BT - low) / span).masked_fill(~reasoning_BT, 0.0)
    return score_BT


def _centered(added_BT: Tensor, gets_BT: Tensor, rows: int) -> Tensor:
    if rows < 1 or len(added_BT) % rows:
        raise InputError(
            f"{len(added_BT)} completions cannot be centred in groups of {rows}; give the group size or 1."
        )
    groups = (-1, rows, added_BT.shape[1])
    count_N11 = gets_BT.view(groups).sum((1, 2), keepdim=True).clamp(min=1)
    mean_N11 = added_BT.view(groups).sum((1, 2), keepdim=True) / count_N11
    return (added_BT.view(groups) - mean_N11).view_as(added_BT).masked_fill(~gets_BT, 0.0)

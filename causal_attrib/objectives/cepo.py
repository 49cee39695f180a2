"""CE-PO: one reward from accuracy and causal coherence.

CE-PO (arXiv 2509.23095; definitions as in the authors' code):

    R = ( sum_k w_k * s_k^p )^(1/p),     s = (accuracy, S(Z->X), S(X->Y), S(Z->Y)) clipped to [0, 1],  sum of w = 1

Z is the question, X the reasoning, Y the answer. The coherence channels S are Jacobians' business
(`causal_attrib.scores.coherence_channels.algebra`); here they are numbers.

Axes: B completions, K scores.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from causal_attrib.errors import InputError
from causal_attrib.objectives.inputs import real

# Nearer to 0 than the first the power mean is the geometric mean, beyond the second the maximum or minimum.
GEOMETRIC = 1e-6
EXTREME = 1e6


def cepo_reward(
    accuracy_B: Tensor,
    coherence_BK: Tensor,
    *,
    p: float = 0.2,
    weights: Sequence[float] = (0.7, 0.1, 0.1, 0.1),
) -> Tensor:
    """Power mean of accuracy and the three coherence channels.

    The defaults are inferred from the authors' code, which has several settings. All three channels count in favour,
    the direct way Z->Y past the reasoning too; a weight of 0 leaves one out.

    Args:
        accuracy_B: how right the answer is (B,), in [0, 1].
        coherence_BK: S(Z->X), S(X->Y), S(Z->Y), in this order (B, 3), in [0, 1].
        p, weights: as `power_mean`; the weight of accuracy first.

    Returns:
        Rewards (B,) in [0, 1].

    >>> cepo_reward(torch.tensor([0.9]), torch.tensor([[0.2, 0.4, 0.3]])).round(decimals=4).tolist()
    [0.6581...]
    """
    if coherence_BK.ndim != 2 or accuracy_B.shape != coherence_BK.shape[:1]:
        raise InputError(
            f"Accuracy {tuple(accuracy_B.shape)} and coherence {tuple(coherence_BK.shape)} do not match; give one "
            "accuracy and one row of channels per completion."
        )
    return power_mean(torch.cat([accuracy_B[:, None], coherence_BK], 1), weights, p)


def power_mean(score_BK: Tensor, weights: Sequence[float], p: float) -> Tensor:
    """( sum_k w_k * s_k^p )^(1/p), weights scaled to sum 1.

    p near 0 (below 1e-6) is the weighted geometric mean, p from 1e6 up the maximum, from -1e6 down the minimum. It
    lies between the smallest and the largest score and grows with p and with every score. For p <= 0 a score of 0 makes
    it 0. Scores are clipped to [0, 1] as in the authors' code; those of weight 0 count nowhere.

    Args:
        score_BK: (..., K).
        weights: K numbers, 0 or more, not all 0.
        p: any number, infinite too.

    Returns:
        (...), float32 or float64, in [0, 1].

    Raises:
        InputError: a score is NaN or infinite, weights do not fit, or p is NaN.

    >>> score_K, weights = torch.tensor([0.9, 0.2, 0.4, 0.3]), (0.7, 0.1, 0.1, 0.1)
    >>> [round(power_mean(score_K, weights, p).item(), 4) for p in (10, 1, 0.7, 0.2, 0, -2, -30)]
    [0.8685, 0.72, 0.6991, 0.6581, 0.6397, 0.4428, 0.216]
    """
    _check(score_BK, weights, p)
    score_BK = real("score_BK", score_BK).clamp(0.0, 1.0)
    used = [k for k, weight in enumerate(weights) if weight > 0]
    score_BK = score_BK[..., used]
    weight_K = score_BK.new_tensor([weights[k] / math.fsum(weights) for k in used])
    if abs(p) < GEOMETRIC:
        return (weight_K * score_BK.log()).sum(-1).exp()
    extreme_B = score_BK.amax(-1) if p > 0 else score_BK.amin(-1)
    if abs(p) >= EXTREME:
        return extreme_B
    # With the extreme score taken out, no power exceeds 1, and expm1 keeps the digits that a small p would cost.
    exponent_BK = p * (score_BK.log() - extreme_B.log()[..., None])
    excess_B = (weight_K * exponent_BK.expm1()).sum(-1)
    log_sum_B = torch.where(excess_B > -0.5, excess_B.log1p(), (weight_K * exponent_BK.exp()).sum(-1).log())
    return torch.where(extreme_B > 0, extreme_B * (log_sum_B / p).exp(), 0.0).clamp(max=1.0)


def _check(score_BK: Tensor, weights: Sequence[float], p: float) -> None:
    if math.isnan(p):
        raise InputError("The exponent p of the power mean is NaN; give a number, 0 for the geometric mean.")
    if score_BK.ndim == 0 or score_BK.shape[-1] != len(weights):
        raise InputError(
            f"Scores of shape {tuple(score_BK.shape)} do not go with {len(weights)} weights; give one weight per score."
        )
    if not all(math.isfinite(weight) and weight >= 0 for weight in weights) or sum(weights) == 0:
        raise InputError(f"The weights are {list(weights)}, but they must be 0 or more and not all 0.")

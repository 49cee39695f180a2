"""PGPO: the advantage of a response goes to the tokens that depend on the picture, and its sum stays what it was.

PGPO (arXiv 2604.01840). p is the policy's distribution of token t with the picture, q that without it:

    S_t   = KL(p || q) = sum_v p(v) * (log p(v) - log q(v))
    I_t   = (log(1 + S_t) - min) / (max - min)                   over the tokens of a response
    w_t   = I_t / tau                              if I_t < tau  (eq. 6)
            1 + beta * (I_t - tau) / (1 - tau)     else
    Ahat_t = A * w_t * T / sum_t w_t                             (eq. 7)

tau = 0.4 and beta = 2 are the paper's. Its code is not out: these formulas, with the paper's numbers, are those that
two independent re-implementations give. Choices of ours: w_t = 1 where log(1 + S_t) is the same (to 1e-6) for all
tokens of a response; the token that depends least keeps its weight of 0; and q is taken from the same conversation
without its picture (`training.scoring.spoilt`), where others hide the picture's tokens from attention.

Axes: B completions, T tokens, V vocabulary.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from causal_attrib.errors import InputError, check_range
from causal_attrib.objectives import inputs

# What log(1 + S) must differ by within a response; rounding of a KL in float32 is below it.
ALIKE = 1e-6


def vocabulary_dependency(logits_TV: Tensor, without_TV: Tensor) -> Tensor:
    """S_t = KL(p || q) over the vocabulary, in nats.

    Args:
        logits_TV: logits with the picture (..., V); -inf rules a token out.
        without_TV: the same without it.

    Returns:
        (...), float32 or float64, 0 or more; infinite where a token is ruled out without the picture alone.

    >>> p, q = torch.tensor([[0.5, 0.25, 0.25]]), torch.tensor([[0.25, 0.25, 0.5]])
    >>> vocabulary_dependency(p.log(), q.log()).item()  # 1/2 ln 2 - 1/4 ln 2
    0.17328...
    """
    if logits_TV.shape != without_TV.shape:
        raise InputError(
            f"Logits have the shapes {tuple(logits_TV.shape)} and {tuple(without_TV.shape)}; give both for the same "
            "tokens."
        )
    wide = torch.promote_types(logits_TV.dtype, torch.float32)
    logprob_TV, without_TV = logits_TV.to(wide).log_softmax(-1), without_TV.to(wide).log_softmax(-1)
    # A token of probability 0 adds nothing; 0 * (-inf + inf) would be NaN.
    gain_TV = (logprob_TV - without_TV).masked_fill(logprob_TV == -math.inf, 0.0)
    return (logprob_TV.exp() * gain_TV).sum(-1).clamp(min=0.0)


def dependency_weights(dependency_BT: Tensor, mask_BT: Tensor, *, threshold: float = 0.4, boost: float = 2.0) -> Tensor:
    """w_t, scaled so that those of a completion sum to its number of tokens.

    Args:
        dependency_BT: S_t (B, T), 0 or more.
        mask_BT: 1 for tokens, 0 for padding (B, T).
        threshold: tau in [0, 1): below it tokens weigh less than at it, above it more.
        boost: beta, 0 or more.

    Returns:
        (B, T), float32 or float64, without gradient; 0 or more with mean 1, 0 at padding.

    Raises:
        InputError: shapes differ, a dependency is NaN, infinite or negative, or a setting is out of its range.

    I = 0, 1/5, 2/5, 1 give w = 0, 1/2, 1, 3, whose mean is 9/8:

    >>> dependency_BT = torch.tensor([[0.0, 0.2, 0.4, 1.0, 7.0]]).expm1()
    >>> dependency_weights(dependency_BT, torch.tensor([[1, 1, 1, 1, 0]]))
    tensor([[0.0000, 0.4444, 0.8889, 2.6667, 0.0000]])
    """
    if not 0 <= threshold < 1:
        raise InputError(f"The threshold of the gate is {threshold}, but it must be 0 or more and lie below 1.")
    check_range("The boost of the gate", boost, 0)
    mask_BT = inputs.mask("mask_BT", mask_BT, dependency_BT.shape)
    score_BT = inputs.at_least_zero("dependency_BT", dependency_BT.detach(), mask_BT).log1p()
    least_B = score_BT.masked_fill(~mask_BT, math.inf).amin(-1, keepdim=True)
    span_B = score_BT.amax(-1, keepdim=True) - least_B
    apart_B = span_B > ALIKE
    share_BT = (score_BT - least_B) / torch.where(apart_B, span_B, 1.0)
    above_BT = 1.0 + boost * (share_BT - threshold) / (1.0 - threshold)
    weight_BT = torch.where(share_BT < threshold, share_BT / (threshold or 1.0), above_BT)
    weight_BT = torch.where(apart_B, weight_BT, 1.0).masked_fill(~mask_BT, 0.0)
    total_B = weight_BT.sum(-1, keepdim=True)
    return weight_BT * (mask_BT.sum(-1, keepdim=True) / torch.where(total_B > 0, total_B, 1.0))


def pgpo_advantage(
    advantage_B: Tensor, dependency_BT: Tensor, mask_BT: Tensor, *, threshold: float = 0.4, boost: float = 2.0
) -> Tensor:
    """Ahat_{i,t} = w_{i,t} * A_i; its sum over a completion is that of A_i on every token.

    Args:
        advantage_B: A_i (B,).
        dependency_BT, mask_BT, threshold, boost: as `dependency_weights`.

    Returns:
        (B, T), float32 or float64, without gradient; 0 at padding.

    >>> dependency_BT = torch.tensor([[0.0, 1.0], [0.5, 0.5]])
    >>> pgpo_advantage(torch.tensor([1.0, -1.0]), dependency_BT, torch.ones(2, 2))
    tensor([[ 0.,  2.], [-1., -1.]])
    """
    weight_BT = dependency_weights(dependency_BT, mask_BT, threshold=threshold, boost=boost)
    advantage_B = inputs.per_completion("advantage_B", advantage_B.detach(), len(weight_BT))
    return weight_BT * advantage_B[:, None]

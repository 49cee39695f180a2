"""What a token is worth to the policy gradient: the clipped surrogate and its KL penalty.

GRPO (DeepSeekMath, arXiv 2402.03300), with the two-sided clip of DAPO (arXiv 2503.14476):

    rho_{i,t} = pi_theta(o_{i,t} | ...) / pi_old(o_{i,t} | ...)
    l_{i,t}   = min( rho * A, clip(rho, 1 - eps_low, 1 + eps_high) * A ) - beta * KL_{i,t}
    KL_{i,t}  = e^d - d - 1,  d = log pi_ref - log pi_theta

Axes: B completions, T tokens.
"""

from __future__ import annotations

import torch
from torch import Tensor

from causal_attrib.errors import InputError, check_range
from causal_attrib.objectives import inputs

# A log-probability that was rounded to bfloat16 on its way may come out above 0 by so much.
ROUNDING = 0.125


def clipped_surrogate(
    logprob_BT: Tensor,
    old_logprob_BT: Tensor | None,
    advantage: Tensor,
    mask_BT: Tensor,
    *,
    epsilon_low: float = 0.2,
    epsilon_high: float = 0.2,
) -> Tensor:
    """min( rho * A, clip(rho, 1 - epsilon_low, 1 + epsilon_high) * A ) of each token, to be maximised.

    Args:
        logprob_BT: log-probabilities in nats (B, T); it alone carries a gradient.
        old_logprob_BT: the same under the policy that sampled; None if that is this one (rho is 1 then, its gradient is
            not).
        advantage: one per completion (B,) or per token (B, T).
        mask_BT: 1 for tokens, 0 for padding (B, T).
        epsilon_low, epsilon_high: how far rho may go from 1. Dr.GRPO has 0.2 for both, DAPO 0.2 and 0.28; GRPO and COPO
            do not state theirs.

    Returns:
        (B, T), float32 or float64; 0 at padding, whatever the inputs hold there.

    Raises:
        InputError: shapes differ, a number is NaN or infinite, a log-probability is positive or an epsilon negative.

    >>> logprob_BT, old_BT = torch.tensor([[0.5, 0.5, 0.3]]).log(), torch.tensor([[0.25, 0.5, 0.6]]).log()
    >>> clipped_surrogate(logprob_BT, old_BT, torch.tensor([1.0]), torch.ones(1, 3))
    tensor([[1.2000, 1.0000, 0.5000]])
    >>> clipped_surrogate(logprob_BT, old_BT, torch.tensor([-1.0]), torch.ones(1, 3))
    tensor([[-2.0000, -1.0000, -0.8000]])
    """
    check_range("epsilon_low", epsilon_low, 0, 1)
    check_range("epsilon_high", epsilon_high, 0)
    mask_BT = inputs.mask("mask_BT", mask_BT, logprob_BT.shape)
    advantage_BT = inputs.per_token("advantage", advantage.detach(), mask_BT.shape)
    advantage_BT = inputs.real("advantage", advantage_BT, mask_BT)
    logprob_BT = _logprob("logprob_BT", logprob_BT, mask_BT)
    if old_logprob_BT is None:
        old_logprob_BT = logprob_BT
    ratio_BT = (logprob_BT - _logprob("old_logprob_BT", old_logprob_BT.detach(), mask_BT)).exp()
    clipped_BT = ratio_BT.clamp(1 - epsilon_low, 1 + epsilon_high)
    return torch.minimum(ratio_BT * advantage_BT, clipped_BT * advantage_BT)


def kl_to_reference(logprob_BT: Tensor, reference_logprob_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """KL = e^d - d - 1, d = log pi_ref - log pi_theta: the "k3" estimate of KL(pi_theta || pi_ref) from one token.

    Args:
        logprob_BT: log-probabilities in nats (B, T); it alone carries a gradient.
        reference_logprob_BT: the same under the reference model.
        mask_BT: 1 for tokens, 0 for padding (B, T).

    Returns:
        (B, T), float32 or float64; 0 or more, 0 at padding.

    >>> kl_to_reference(torch.tensor([[-1.0, -2.0]]), torch.tensor([[-1.0, -1.0]]), torch.ones(1, 2)).tolist()
    [[0.0, 0.71828...]]
    """
    mask_BT = inputs.mask("mask_BT", mask_BT, logprob_BT.shape)
    reference_BT = _logprob("reference_logprob_BT", reference_logprob_BT.detach(), mask_BT)
    difference_BT = reference_BT - _logprob("logprob_BT", logprob_BT, mask_BT)
    # e^d - 1 - d cancels for small d; expm1 keeps what is left from falling below 0.
    return difference_BT.expm1() - difference_BT


def _logprob(name: str, logprob_BT: Tensor, mask_BT: Tensor) -> Tensor:
    inputs.check_shape(name, logprob_BT, mask_BT.shape)
    logprob_BT = inputs.real(name, logprob_BT, mask_BT)
    if (logprob_BT > ROUNDING).any():
        raise InputError(f"{name} holds positive numbers; give log-probabilities, which are 0 at most.")
    return logprob_BT

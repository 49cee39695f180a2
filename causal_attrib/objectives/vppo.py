"""VPPO: only the tokens that depend most on the picture are trained on, and responses by how much they depend on it.

VPPO (arXiv 2510.09285, ICLR 2026; formulas as in the authors' code, VPPO-RL, and its released configuration). p' is the
policy's probability where the picture is spoilt, p where it is not; o_t is the token that was written.

    S_t     = e^d - d - 1,  d = log p'(o_t) - log p(o_t)       d cut to [-20, 20] and S_t to [0, 10]
    S(o)    = mean of S_t over the tokens of a response        how much the response depends on the picture
    alpha   = low + (high - low) * (S(o) - min) / (max - min)  over a batch, with high such that its mean is 1
    m_t     = 1 for the ceil(top * T) tokens of a response with the largest S_t, else 0
    Ahat_t  = alpha * A * m_t
    loss    = that of GRPO or DAPO with Ahat + penalty * mean of -log p(o_t)

A token with m_t = 0 still counts among those that the loss is divided by. S_t is the estimate of KL(p || p') that GRPO
has for its reference (`kl_to_reference`), here without gradient.

Axes: B completions, T tokens.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from causal_attrib.errors import InputError
from causal_attrib.objectives import inputs

LARGEST_LOG_RATIO, LARGEST_DEPENDENCY = 20.0, 10.0
# What responses must differ by in S(o) to be told apart, and what keeps `high` finite; both as in the code.
ALIKE, GUARD = 1e-6, 1e-8


def sampled_dependency(logprob_BT: Tensor, spoilt_logprob_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """S_t = e^d - d - 1 of the token that was written, d = log p(spoilt picture) - log p(picture).

    Args:
        logprob_BT: log-probabilities of the completions' tokens in nats, with the picture (B, T).
        spoilt_logprob_BT: the same where the picture is spoilt.
        mask_BT: 1 for tokens, 0 for padding (B, T).

    Returns:
        (B, T), float32 or float64, in [0, 10]; 0 at padding. It carries the gradient of what it is made of.

    Raises:
        InputError: shapes differ, or a number is NaN or infinite.

    >>> logprob_BT, spoilt_BT = torch.tensor([[-1.0, -1.0, -0.1]]), torch.tensor([[-2.0, -1.0, -30.0]])
    >>> [round(s, 4) for s in sampled_dependency(logprob_BT, spoilt_BT, torch.ones(1, 3))[0].tolist()]
    [0.3679, 0.0, 10.0]
    """
    mask_BT = inputs.mask("mask_BT", mask_BT, logprob_BT.shape)
    inputs.check_shape("spoilt_logprob_BT", spoilt_logprob_BT, mask_BT.shape)
    ratio_BT = inputs.real("spoilt_logprob_BT", spoilt_logprob_BT, mask_BT) - inputs.real(
        "logprob_BT", logprob_BT, mask_BT
    )
    ratio_BT = ratio_BT.clamp(-LARGEST_LOG_RATIO, LARGEST_LOG_RATIO)
    # e^d - 1 - d cancels for small d; expm1 keeps what is left from falling below 0.
    return (ratio_BT.expm1() - ratio_BT).clamp(0.0, LARGEST_DEPENDENCY)


def top_tokens(dependency_BT: Tensor, mask_BT: Tensor, top: float = 0.4) -> Tensor:
    """m_t: the ceil(top * T_i) tokens of each completion with the largest dependency; of equal ones the earlier.

    Args:
        dependency_BT: S_t (B, T), 0 or more.
        mask_BT: 1 for tokens, 0 for padding (B, T).
        top: share of the tokens in (0, 1].

    Returns:
        Booleans (B, T); False at padding.

    >>> top_tokens(torch.tensor([[0.1, 0.5, 0.2, 0.9, 9.0]]), torch.tensor([[1, 1, 1, 1, 0]])).tolist()
    [[False, True, False, True, False]]
    """
    if not 0 < top <= 1:
        raise InputError(f"The share of tokens to train on is {top}, but it must lie above 0 and be 1 at most.")
    mask_BT = inputs.mask("mask_BT", mask_BT, dependency_BT.shape)
    dependency_BT = _dependency(dependency_BT, mask_BT)
    order_BT = dependency_BT.masked_fill(~mask_BT, -math.inf).argsort(dim=-1, descending=True, stable=True)
    # 0.55 * 100 is 55.00000000000001 in floats, of which ceil makes 56.
    count_B = (mask_BT.sum(-1).double() * top - 1e-9).ceil()
    rank_T = torch.arange(mask_BT.shape[1], device=mask_BT.device)
    chosen_BT = rank_T < count_B[:, None]
    return torch.zeros_like(mask_BT).scatter(1, order_BT, chosen_BT) & mask_BT


def response_scale(dependency_BT: Tensor, mask_BT: Tensor, low: float = 0.9) -> Tensor:
    """alpha of each completion: its mean dependency, from the least of the batch (`low`) to the largest.

    high = low + (1 - low) / (mean of the scaled means), so that alpha has the mean 1 over the batch. The authors take
    least and largest over a mini-batch and that mean over each micro-batch; here both are of the completions given.

    Args:
        dependency_BT, mask_BT: as `top_tokens`.
        low: alpha of the completion that depends least, in (0, 1].

    Returns:
        (B,), float32 or float64; 1 for a completion without tokens, and for all where they depend alike (by 1e-6).

    >>> dependency_BT = torch.tensor([[0.0, 0.2], [0.4, 0.6], [0.2, 0.4]])
    >>> response_scale(dependency_BT, torch.ones(3, 2)).tolist()
    [0.899999..., 1.100000..., 1.0]
    """
    if not 0 < low <= 1:
        raise InputError(f"The least scale of an advantage is {low}, but it must lie above 0 and be 1 at most.")
    mask_BT = inputs.mask("mask_BT", mask_BT, dependency_BT.shape)
    dependency_BT = _dependency(dependency_BT, mask_BT)
    tokens_B = mask_BT.sum(-1)
    mean_B, written_B = dependency_BT.sum(-1) / tokens_B.clamp(min=1), tokens_B > 0
    one_B = torch.ones_like(mean_B)
    if written_B.sum() < 2:
        return one_B
    least, largest = mean_B[written_B].aminmax()
    if largest - least <= ALIKE:
        return one_B
    scaled_B = ((mean_B - least) / (largest - least)).clamp(0.0, 1.0)
    high = low + (1.0 - low) / (scaled_B[written_B].mean() + GUARD)
    return torch.where(written_B, low + scaled_B * (high - low), one_B)


def vppo_advantage(
    advantage_B: Tensor, dependency_BT: Tensor, mask_BT: Tensor, *, top: float = 0.4, low: float = 0.9
) -> Tensor:
    """Ahat_{i,t} = alpha_i * A_i * m_{i,t}.

    With top and low 1 it is A_i on every token.

    Args:
        advantage_B: A_i (B,).
        dependency_BT, mask_BT: as `top_tokens`.
        top: share of the tokens of each completion that are trained on.
        low: as `response_scale`; 1 leaves advantages as they are.

    Returns:
        (B, T), float32 or float64, without gradient; 0 at padding and at tokens that are not trained on.

    Raises:
        InputError: shapes differ, a dependency is NaN, infinite or negative, or a setting is out of its range.

    >>> dependency_BT = torch.tensor([[0.0, 0.2], [0.6, 0.4]])
    >>> vppo_advantage(torch.tensor([1.0, -1.0]), dependency_BT, torch.ones(2, 2), top=0.5)
    tensor([[ 0.0000,  0.9000], [-1.1000, -0.0000]])
    """
    chosen_BT = top_tokens(dependency_BT, mask_BT, top)
    scale_B = response_scale(dependency_BT, mask_BT, low)
    advantage_B = inputs.per_completion("advantage_B", advantage_B.detach(), len(chosen_BT))
    return (advantage_B * scale_B)[:, None] * chosen_BT


def _dependency(dependency_BT: Tensor, mask_BT: Tensor) -> Tensor:
    return inputs.at_least_zero("dependency_BT", dependency_BT.detach(), mask_BT)

"""HERO: tokens that the model was sure of weigh more, and prompts whose rewards vary are kept.

HERO ("Dynamic Entropy-Aware Reinforcement Learning", known from its web page alone, which gives four formulas):

    DEP      w_t = exp(-H_t) / sum_j exp(-H_j)      H_t: entropy of the distribution token t was drawn from
    loss     L = - E[ sum_i w_i * A_i * log pi(y_i | x) ]
    VG-HNM   keep the outputs whose rewards vary most, 60 % of the samples

The page uses i for tokens in w and for responses in A. The reading here: the softmax runs over the tokens of one
response, w is a constant, and what is kept or dropped is a prompt with all its completions.

Axes: B completions, T tokens, N prompts, G completions of each prompt (next to each other).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from causal_attrib.errors import InputError
from causal_attrib.objectives import inputs
from causal_attrib.objectives.advantage import equal_rewards, groups

ROUNDING = 1e-3


def entropy_weights(entropy_BT: Tensor, mask_BT: Tensor, *, mean_one: bool = True) -> Tensor:
    """w_t = exp(-H_t) / sum_j exp(-H_j) over the tokens of a completion, times their number with `mean_one`.

    Published weights sum to 1, so that they, and with them the step, shrink with the length of the response. Scaled by
    the length T_i they have mean 1 and the learning rate keeps its meaning; in the GRPO aggregation, which divides by
    T_i, the scaled ones give the published loss.

    Args:
        entropy_BT: entropies in nats (B, T), 0 or more, of the policy that sampled, at temperature 1.
        mask_BT: 1 for tokens, 0 for padding (B, T).
        mean_one: scale by the number of tokens.

    Returns:
        (B, T), float32 or float64, without gradient: in (0, T_i) with mean 1, or in (0, 1) with sum 1; 0 at padding.

    Raises:
        InputError: shapes differ, or an entropy is NaN, infinite or negative.

    >>> entropy_BT = torch.tensor([[0.05, 0.2, 0.7, 1.5, 2.5]])
    >>> [round(w, 4) for w in entropy_weights(entropy_BT, torch.ones(1, 5), mean_one=False)[0].tolist()]
    [0.3699, 0.3184, 0.1931, 0.0868, 0.0319]
    """
    mask_BT = inputs.mask("mask_BT", mask_BT, entropy_BT.shape)
    entropy_BT = inputs.real("entropy_BT", entropy_BT.detach(), mask_BT)
    if (entropy_BT < -ROUNDING).any():
        raise InputError("An entropy is negative; give -sum p log p of each token's distribution, in nats.")
    weight_BT = (-entropy_BT).masked_fill(~mask_BT, -math.inf).softmax(-1)
    if mean_one:
        weight_BT = weight_BT * mask_BT.sum(-1, keepdim=True)
    # The softmax over a completion without tokens is NaN.
    return weight_BT.masked_fill(~mask_BT, 0.0)


def hero_advantage(
    advantage_B: Tensor, entropy_BT: Tensor, mask_BT: Tensor, *, mean_one: bool = True, negative_only: bool = False
) -> Tensor:
    """Ahat_{i,t} = w_{i,t} * A_i.

    In a clipped surrogate without KL penalty, on policy and aggregated as in GRPO, the gradient of this is that of the
    published loss.

    As published, w also reinforces what the model was sure of in right completions, the opposite of the stated aim (to
    punish confident errors). With `negative_only` it weighs completions with A_i < 0 alone, and the others get the
    uniform weight of the same sum.

    Args:
        advantage_B: A_i (B,).
        entropy_BT, mask_BT, mean_one: as `entropy_weights`.
        negative_only: weigh the tokens of completions with A_i < 0 only. Not the published form.

    Returns:
        (B, T), float32 or float64, without gradient; 0 at padding.

    >>> entropy_BT, mask_BT = torch.tensor([[0.0, 0.6931], [0.0, 0.6931]]), torch.ones(2, 2)
    >>> hero_advantage(torch.tensor([1.0, -1.0]), entropy_BT, mask_BT)
    tensor([[ 1.3333,  0.6667], [-1.3333, -0.6667]])
    >>> hero_advantage(torch.tensor([1.0, -1.0]), entropy_BT, mask_BT, negative_only=True)
    tensor([[ 1.0000,  1.0000], [-1.3333, -0.6667]])
    """
    weight_BT = entropy_weights(entropy_BT, mask_BT, mean_one=mean_one)
    mask_BT = mask_BT.bool()
    if advantage_B.shape != mask_BT.shape[:1]:
        raise InputError(
            f"advantage_B has shape {tuple(advantage_B.shape)}, but there are {len(mask_BT)} completions; give one "
            "advantage for each."
        )
    advantage_BT = inputs.real("advantage_B", advantage_B.detach())[:, None]
    if negative_only:
        uniform_BT = entropy_weights(torch.zeros_like(weight_BT), mask_BT, mean_one=mean_one)
        weight_BT = torch.where(advantage_BT < 0, weight_BT, uniform_BT)
    return weight_BT * advantage_BT


def variance_gate(reward_B: Tensor, group_size: int, keep: float = 0.6) -> Tensor:
    """Which prompts to keep: the ceil(keep * N) whose rewards vary most.

    For rewards 0 and 1 the variance is p * (1 - p), p the share of right completions. Of prompts with the same variance
    (to 6 digits of the largest) the earlier is kept; groups of equal rewards come last. Computed in float64 on the CPU.

    Args:
        reward_B: rewards (B,), all prompts of the batch.
        group_size: G, 2 or more.
        keep: share of the prompts in (0, 1]; the page's budget is 0.6.

    Returns:
        Booleans (N,), True for the prompts to keep, on the device of the rewards.

    Raises:
        InputError: as `group_advantage`, or `keep` is out of its range.

    >>> variance_gate(torch.tensor([0.0, 0, 0, 0, 1, 1, 1, 1, 1, 0, 0, 0, 1, 1, 0, 0, 1, 1, 1, 0]), 4).tolist()
    [False, False, True, True, True]
    """
    if not 0 < keep <= 1:
        raise InputError(f"The share of prompts to keep is {keep}, but it must lie above 0 and be 1 at most.")
    variance_N = groups(reward_B.detach().cpu().double(), group_size).var(1, correction=0)
    # Equal variances may differ in the last digit, 1/6 right and 5/6 right for one.
    rank_N = (variance_N / variance_N.max().clamp(min=torch.finfo(torch.float64).tiny)).round(decimals=6)
    rank_N[equal_rewards(reward_B.detach().cpu(), group_size)] = -1
    # 0.55 * 100 is 55.00000000000001 in floats, of which ceil makes 56.
    count = math.ceil(keep * len(rank_N) - 1e-9)
    kept_N = torch.zeros(len(rank_N), dtype=torch.bool, device="cpu")
    kept_N[rank_N.argsort(descending=True, stable=True)[:count]] = True
    return kept_N.to(reward_B.device)

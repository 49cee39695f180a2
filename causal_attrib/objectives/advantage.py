"""How much better a completion is than the others of its group.

Axes: B completions, N prompts, G completions of each prompt (the group). B = N * G, and the completions of a prompt lie
next to each other.
"""

from __future__ import annotations

from torch import Tensor

from causal_attrib.errors import InputError, check_range
from causal_attrib.objectives.inputs import real


def group_advantage(
    reward_B: Tensor, group_size: int, *, scale: bool = True, bessel: bool = True, guard: float = 1e-4
) -> Tensor:
    """Group-relative advantage.

        A_i = (r_i - mean(r)) / (std(r) + guard)     over the group of completion i

    GRPO (DeepSeekMath, arXiv 2402.03300), outcome supervision; DAPO (arXiv 2503.14476) and COPO (arXiv 2508.04182v2)
    use the same. Dr.GRPO (arXiv 2503.20783) leaves the standard deviation out: `scale=False`. A group of equal rewards
    gets exactly 0, whatever its mean rounds to.

    Args:
        reward_B: rewards (B,), any real numbers.
        group_size: G, 2 or more.
        scale: divide by the standard deviation of the group.
        bessel: divide the sum of squares by G - 1 (TRL, verl), not by G.
        guard: is added to the standard deviation: 1e-4 in TRL, 1e-6 in verl.

    Returns:
        Advantages (B,) in float32 (float64 for float64 rewards). They sum to 0 over each group.

    Raises:
        InputError: a reward is NaN or infinite, or the rewards do not fall into groups of G.

    >>> import torch
    >>> group_advantage(torch.tensor([1.0, 0, 0, 1]), 4, guard=0)
    tensor([ 0.8660, -0.8660, -0.8660,  0.8660])
    >>> group_advantage(torch.tensor([1.0, 0, 0, 1, 1, 1, 1, 1]), 4, bessel=False, guard=0).tolist()
    [1.0, -1.0, -1.0, 1.0, 0.0, 0.0, 0.0, 0.0]
    >>> group_advantage(torch.tensor([1.0, 0, 0, 1]), 4, scale=False).tolist()
    [0.5, -0.5, -0.5, 0.5]
    """
    check_range("guard", guard, 0)
    reward_NG = groups(reward_B, group_size)
    advantage_NG = reward_NG - reward_NG.mean(1, keepdim=True)
    if scale:
        advantage_NG = advantage_NG / (reward_NG.std(1, correction=int(bessel), keepdim=True) + guard)
    return advantage_NG.masked_fill(equal_rewards(reward_B, group_size)[:, None], 0.0).flatten()


def equal_rewards(reward_B: Tensor, group_size: int) -> Tensor:
    """Which groups have no two different rewards, and so no gradient: booleans (N,).

    With rewards 0 and 1 the others are those that DAPO (arXiv 2503.14476) keeps by dynamic sampling: some completions
    are right and some wrong.

    >>> import torch
    >>> equal_rewards(torch.tensor([1.0, 0, 0.1, 0.1]), 2).tolist()
    [False, True]
    """
    reward_NG = groups(reward_B, group_size)
    return (reward_NG == reward_NG[:, :1]).all(1)


def groups(reward_B: Tensor, group_size: int) -> Tensor:
    """Rewards (N, G), checked.

    Raises:
        InputError: as `group_advantage`.
    """
    if group_size < 2:
        raise InputError(f"The group size is {group_size}, but a completion is judged against others: take 2 or more.")
    if reward_B.ndim != 1 or len(reward_B) == 0 or len(reward_B) % group_size:
        raise InputError(
            f"Rewards of shape {tuple(reward_B.shape)} do not fall into groups of {group_size}; give one reward per "
            f"completion, {group_size} completions per prompt."
        )
    return real("reward_B", reward_B).view(-1, group_size)

"""COPO's advantages for verl and EasyR1, which hand a reward side one tensor of rewards per token and nothing else.

The convention: the reward of the outcome stands on the last token of a response, where every reward manager puts it,
and r_causal on the tokens before it. An estimator then gives

    Ahat_{i,t} = A_i + r_causal_{i,t}

as in COPO (arXiv 2508.04182v2), with A_i group-relative over the responses of one prompt. What fills in r_causal is a
reward manager that has the scores (of a frozen scorer: the policy of these trainers is in other processes). Without any
the advantages are GRPO's.

    # in a module of your own, named in the environment variable VERL_USE_EXTERNAL_MODULES
    from causal_attrib.training.verl_advantage import register

    register()  # and run with algorithm.adv_estimator=copo

This file imports torch alone, and verl's pinned transformers may be older than what the rest of the package takes: then
install the package with `pip install --no-deps`, or copy the file.

Axes: B responses, T tokens.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

NAME = "copo"


def copo_advantage_estimator(
    token_level_rewards: Tensor,
    response_mask: Tensor,
    index: Sequence,
    epsilon: float = 1e-6,
    norm_adv_by_std_in_grpo: bool | None = None,
    config: Mapping[str, Any] | None = None,
    **_: object,
) -> tuple[Tensor, Tensor]:
    """Advantages and returns, both (B, T), in the form that verl calls an estimator in.

    Args:
        token_level_rewards: (B, T): r on the last token of the mask, r_causal on those before it.
        response_mask: 1 for tokens of the response (B, T).
        index: B names; responses of one prompt have the same.
        epsilon: is added to the standard deviation (Bessel-corrected).
        norm_adv_by_std_in_grpo: divide by it; False is Dr.GRPO (arXiv 2503.20783). None takes it from the config.
        config: settings under `algorithm`, as verl hands them to estimators (0.9); True is the default there too.

    Raises:
        ValueError: verl takes the KL out of rewards, which then stands where r_causal should.

    Returns:
        The same tensor twice; 0 where the mask is 0. As in verl, a prompt with a single response keeps its reward.
    """
    config = config or {}
    if config.get("use_kl_in_reward", False):
        raise ValueError(
            "algorithm.use_kl_in_reward puts the KL on every token, where copo reads r_causal; set it to False, and "
            "actor.use_kl_loss to True for a KL term in the loss."
        )
    if norm_adv_by_std_in_grpo is None:
        norm_adv_by_std_in_grpo = config.get("norm_adv_by_std_in_grpo", True)
    with torch.no_grad():
        mask_BT = response_mask.to(token_level_rewards.dtype)
        place_T = torch.arange(1, mask_BT.shape[1] + 1, device=mask_BT.device)
        last_B1 = (mask_BT * place_T).argmax(1, keepdim=True)
        reward_B = (token_level_rewards * mask_BT).gather(1, last_B1)[:, 0]
        causal_BT = (token_level_rewards * mask_BT).scatter(1, last_B1, 0.0)
        members: dict[object, list[int]] = defaultdict(list)
        for b, name in enumerate(index):
            members[name].append(b)
        advantage_B = torch.zeros_like(reward_B)
        for rows in members.values():
            group = reward_B[rows]
            mean, std = (group.mean(), group.std()) if len(rows) > 1 else (0.0, 1.0)
            if len(rows) > 1 and (group == group[0]).all():
                continue  # exactly 0; the standard deviation of equal numbers may round to more than epsilon
            advantage_B[rows] = (group - mean) / (std + epsilon if norm_adv_by_std_in_grpo else 1.0)
        advantage_BT = advantage_B[:, None] * mask_BT + causal_BT
    return advantage_BT, advantage_BT


def register() -> Callable:
    """Make the estimator known to the verl, or the EasyR1, that is installed, under the name `copo`."""
    try:
        from verl.trainer.ppo.core_algos import register_adv_est
    except ImportError:
        from verl.trainer.core_algos import register_adv_estimator as register_adv_est
    return register_adv_est(NAME)(copo_advantage_estimator)

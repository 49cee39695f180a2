"""Advantages of copo, vppo and pgpo for verl and EasyR1, which hand rewards on as one tensor, a number per token.

The convention: the reward of the outcome stands on the last token of a response, where every reward manager puts it,
and on the tokens before it what the method wants to know of each: r_causal for copo, the dependence on the picture S_t
for vppo and pgpo (`objectives.sampled_dependency`, `objectives.vocabulary_dependency`). An estimator then gives

    copo   Ahat_{i,t} = A_i + r_causal_{i,t}        (arXiv 2508.04182v2)
    vppo   Ahat_{i,t} = alpha_i * A_i * m_{i,t}     (arXiv 2510.09285; `objectives.vppo_advantage`)
    pgpo   Ahat_{i,t} = w_{i,t} * A_i               (arXiv 2604.01840; `objectives.pgpo_advantage`)

with A_i group-relative over the responses of one prompt. S_t of the last token, usually the end of the text, counts as
0. What fills in the rest is a reward manager that has the scores (of a frozen scorer: the policy of these trainers is
in other processes). Without any the advantages are GRPO's for copo and pgpo; vppo, which then cannot tell tokens apart,
refuses that. VPPO's entropy penalty is the actor's: verl's `entropy_coeff` at -0.06 is nearest to it.

    # in a module of your own, named in the environment variable VERL_USE_EXTERNAL_MODULES
    from causal_attrib.training.verl_advantage import register

    register()  # and run with algorithm.adv_estimator=copo
    register("vppo", top=0.4, low=0.9)

The KL to a reference must not be taken out of rewards, where it would stand on every token: estimators refuse verl's
`use_kl_in_reward`. EasyR1 tells them nothing of its settings, and takes the KL out of rewards unless
`algorithm.use_kl_loss` or `algorithm.disable_kl` is true.

This file imports torch alone, and verl's pinned transformers may be older than what the rest of the package takes: then
install the package with `pip install --no-deps` (vppo and pgpo need its `objectives`), or for copo copy the file.

Axes: B responses, T tokens.
"""

from __future__ import annotations

import functools
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
    advantage_B, causal_BT, mask_BT = _read(
        "copo reads r_causal", token_level_rewards, response_mask, index, epsilon, norm_adv_by_std_in_grpo, config
    )
    advantage_BT = advantage_B[:, None] * mask_BT + causal_BT
    return advantage_BT, advantage_BT


def vppo_advantage_estimator(
    token_level_rewards: Tensor,
    response_mask: Tensor,
    index: Sequence,
    epsilon: float = 1e-6,
    norm_adv_by_std_in_grpo: bool | None = None,
    config: Mapping[str, Any] | None = None,
    *,
    top: float = 0.4,
    low: float = 0.9,
    **_: object,
) -> tuple[Tensor, Tensor]:
    """The same for vppo, with S_t on the tokens before the last, 0 or more.

    Args:
        top, low: as `objectives.vppo_advantage`.

    Raises:
        ValueError: as `copo_advantage_estimator`; or there is no S_t at all, or one is NaN, infinite or negative.
    """
    from causal_attrib.objectives import vppo_advantage

    advantage_B, dependency_BT, mask_BT = _read(
        "vppo reads how much each token depends on the picture",
        *(token_level_rewards, response_mask, index, epsilon, norm_adv_by_std_in_grpo, config),
    )
    if not dependency_BT.any():
        raise ValueError(
            "No token has a dependence on the picture, by which vppo chooses those that are trained on; let the reward "
            "manager put it on the tokens before the last."
        )
    advantage_BT = vppo_advantage(advantage_B, dependency_BT, mask_BT, top=top, low=low)
    return advantage_BT, advantage_BT


def pgpo_advantage_estimator(
    token_level_rewards: Tensor,
    response_mask: Tensor,
    index: Sequence,
    epsilon: float = 1e-6,
    norm_adv_by_std_in_grpo: bool | None = None,
    config: Mapping[str, Any] | None = None,
    *,
    threshold: float = 0.4,
    boost: float = 2.0,
    **_: object,
) -> tuple[Tensor, Tensor]:
    """The same for pgpo, with S_t on the tokens before the last, 0 or more.

    Args:
        threshold, boost: as `objectives.dependency_weights`.
    """
    from causal_attrib.objectives import pgpo_advantage

    advantage_B, dependency_BT, mask_BT = _read(
        "pgpo reads how much each token depends on the picture",
        *(token_level_rewards, response_mask, index, epsilon, norm_adv_by_std_in_grpo, config),
    )
    advantage_BT = pgpo_advantage(advantage_B, dependency_BT, mask_BT, threshold=threshold, boost=boost)
    return advantage_BT, advantage_BT


ESTIMATORS: dict[str, Callable[..., tuple[Tensor, Tensor]]] = {
    "copo": copo_advantage_estimator,
    "vppo": vppo_advantage_estimator,
    "pgpo": pgpo_advantage_estimator,
}


def register(name: str = NAME, **settings: float) -> Callable:
    """Make an estimator known to the verl, or the EasyR1, that is installed, under its name.

    Args:
        name: copo, vppo or pgpo.
        settings: top and low of vppo, threshold and boost of pgpo.

    Raises:
        ValueError: there is no such estimator, or it has no such setting.
    """
    if name not in ESTIMATORS:
        raise ValueError(f"There is no estimator {name!r}; choose one of {', '.join(ESTIMATORS)}.")
    estimator = ESTIMATORS[name]
    for setting in settings:
        if setting not in (estimator.__kwdefaults__ or {}):
            raise ValueError(f"The estimator {name} has no setting {setting!r}.")
    try:
        from verl.trainer.ppo.core_algos import register_adv_est
    except ImportError:
        from verl.trainer.core_algos import register_adv_estimator as register_adv_est
    return register_adv_est(name)(functools.partial(estimator, **settings) if settings else estimator)


def _read(
    reads: str,
    token_level_rewards: Tensor,
    response_mask: Tensor,
    index: Sequence,
    epsilon: float,
    norm_adv_by_std_in_grpo: bool | None,
    config: Mapping[str, Any] | None,
) -> tuple[Tensor, Tensor, Tensor]:
    """A_i (B,), what stands on the tokens before the last (B, T), and the mask (B, T) as numbers."""
    config = config or {}
    if config.get("use_kl_in_reward", False):
        raise ValueError(
            f"algorithm.use_kl_in_reward puts the KL on every token, where {reads}; set it to False, and "
            "actor.use_kl_loss to True for a KL term in the loss."
        )
    if norm_adv_by_std_in_grpo is None:
        norm_adv_by_std_in_grpo = config.get("norm_adv_by_std_in_grpo", True)
    with torch.no_grad():
        mask_BT = response_mask.to(token_level_rewards.dtype)
        place_T = torch.arange(1, mask_BT.shape[1] + 1, device=mask_BT.device)
        last_B1 = (mask_BT * place_T).argmax(1, keepdim=True)
        reward_B = (token_level_rewards * mask_BT).gather(1, last_B1)[:, 0]
        rest_BT = (token_level_rewards * mask_BT).scatter(1, last_B1, 0.0)
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
    return advantage_B, rest_BT, mask_BT

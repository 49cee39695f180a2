"""The estimator is called as verl 0.9.1 calls one (docs of `register_adv_est`); verl itself is not installed here."""

import subprocess
import sys

import pytest
import torch

from causal_attrib.objectives import copo_advantage, group_advantage, pgpo_advantage, vppo_advantage
from causal_attrib.training.verl_advantage import (
    copo_advantage_estimator,
    pgpo_advantage_estimator,
    register,
    vppo_advantage_estimator,
)

MASK = torch.tensor([[1, 1, 1, 0], [1, 1, 0, 0], [1, 1, 1, 1], [1, 0, 0, 0]])
LAST = [2, 1, 3, 0]
REWARD = torch.tensor([1.0, 0.0, 0.25, 0.5])


def on_last_token(reward_B):
    rewards_BT = torch.zeros(MASK.shape)
    rewards_BT[range(4), LAST] = reward_B
    return rewards_BT


@pytest.mark.parametrize("scale", [True, False])
def test_without_scores_it_is_group_relative_whatever_the_order(scale):
    order = [0, 2, 1, 3]
    advantage_BT, returns_BT = copo_advantage_estimator(
        on_last_token(REWARD), MASK, ["a", "b", "a", "b"], norm_adv_by_std_in_grpo=scale, config=None
    )
    # In blocks: completions 0 and 2 belong together, then 1 and 3.
    expected_B = group_advantage(REWARD[order], 2, scale=scale, guard=1e-6)[[order.index(b) for b in range(4)]]
    assert torch.allclose(advantage_BT, expected_B[:, None] * MASK) and torch.equal(advantage_BT, returns_BT)


def test_scores_are_added_as_copo_adds_them():
    causal_BT = torch.rand(MASK.shape, generator=torch.Generator().manual_seed(0)) * MASK
    causal_BT[range(4), LAST] = 0
    advantage_BT, _ = copo_advantage_estimator(on_last_token(REWARD) + causal_BT, MASK, [0, 0, 1, 1])
    expected_BT = copo_advantage(group_advantage(REWARD, 2, guard=1e-6), causal_BT, MASK) * MASK
    assert torch.allclose(advantage_BT, expected_BT, atol=1e-6)


def test_equal_rewards_and_a_response_by_itself():
    advantage_BT, _ = copo_advantage_estimator(on_last_token(torch.tensor([1.0, 1.0, 0.5, 0.5])), MASK, [0, 0, 1, 2])
    # As in verl, a prompt with one response keeps its reward.
    thirds_B = torch.full((4,), 0.1)  # whose mean rounds
    assert not copo_advantage_estimator(on_last_token(thirds_B), MASK, [0, 0, 0, 1])[0][:3].any()
    assert advantage_BT[:2].abs().max() == 0 and torch.allclose(advantage_BT[2], torch.full((4,), 0.5), atol=1e-5)


def test_what_the_config_of_verl_says_is_done():
    """verl hands its settings under `algorithm` to every estimator, as a mapping (`AlgoConfig`)."""
    settings = {"norm_adv_by_std_in_grpo": False, "use_kl_in_reward": False}
    advantage_BT, _ = copo_advantage_estimator(
        token_level_rewards=on_last_token(REWARD), response_mask=MASK, index=[0, 0, 1, 1], config=settings
    )
    # By hand: rewards less the mean of their prompt (1/2; 3/8), not divided by anything.
    by_hand_B = torch.tensor([0.5, -0.5, -0.125, 0.125])
    assert torch.allclose(advantage_BT, by_hand_B[:, None] * MASK)
    scaled_BT, _ = copo_advantage_estimator(on_last_token(REWARD), MASK, [0, 0, 1, 1], config={})
    # The standard deviation of two numbers that are d apart is d / sqrt(2), so that all are sqrt(1/2).
    assert torch.allclose(scaled_BT.abs(), 0.5**0.5 * MASK, atol=1e-5)
    with pytest.raises(ValueError, match="use_kl_in_reward puts the KL on every token, where copo reads r_causal"):
        copo_advantage_estimator(on_last_token(REWARD), MASK, [0, 0, 1, 1], config={"use_kl_in_reward": True})


@pytest.mark.parametrize(
    "estimator, settings, made",
    [
        (vppo_advantage_estimator, {"top": 0.5, "low": 0.8}, vppo_advantage),
        (pgpo_advantage_estimator, {"threshold": 0.2, "boost": 1.0}, pgpo_advantage),
    ],
)
def test_dependence_on_the_picture_shapes_advantages(estimator, settings, made):
    dependency_BT = torch.rand(MASK.shape, generator=torch.Generator().manual_seed(0)) * MASK
    dependency_BT[range(4), LAST] = 0
    found_BT, returns_BT = estimator(on_last_token(REWARD) + dependency_BT, MASK, [0, 0, 1, 1], **settings)
    expected_BT = made(group_advantage(REWARD, 2, guard=1e-6), dependency_BT, MASK, **settings)
    assert torch.allclose(found_BT, expected_BT, atol=1e-6) and torch.equal(found_BT, returns_BT)
    assert not torch.allclose(found_BT, group_advantage(REWARD, 2)[:, None] * MASK, atol=1e-2)
    with pytest.raises(ValueError, match="KL on every token, where .* reads how much each token depends"):
        estimator(on_last_token(REWARD), MASK, [0, 0, 1, 1], config={"use_kl_in_reward": True})
    with pytest.raises(ValueError, match="dependency_BT holds negative numbers"):
        estimator(on_last_token(REWARD) - dependency_BT, MASK, [0, 0, 1, 1])


def test_without_dependence_pgpo_is_group_relative_and_vppo_says_so():
    expected_BT = group_advantage(REWARD, 2, guard=1e-6)[:, None] * MASK
    assert torch.allclose(pgpo_advantage_estimator(on_last_token(REWARD), MASK, [0, 0, 1, 1])[0], expected_BT)
    with pytest.raises(ValueError, match="No token has a dependence on the picture, by which vppo chooses"):
        vppo_advantage_estimator(on_last_token(REWARD), MASK, [0, 0, 1, 1])


def test_an_estimator_or_a_setting_that_is_none_is_refused():
    with pytest.raises(ValueError, match="There is no estimator 'papo'; choose one of copo, vppo, pgpo"):
        register("papo")
    with pytest.raises(ValueError, match="The estimator pgpo has no setting 'top'"):
        register("pgpo", top=0.4)


def test_it_needs_neither_trl_nor_verl():
    code = "import sys; sys.modules['trl'] = sys.modules['verl'] = None; import causal_attrib.training.verl_advantage"
    subprocess.run([sys.executable, "-c", code], check=True)

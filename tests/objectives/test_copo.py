"""COPO's causal reward and token advantages."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from causal_attrib.errors import InputError
from causal_attrib.objectives import causal_reward, copo_advantage, flipped_share
from causal_attrib.scores import causal_completeness
from tests.objectives.properties import on_tensors

# methods.md 6 (from 1.4): sufficiency, necessity, causal score at lambda 0.35 / 0.35.
TRIPLES = {
    "dog": (0.87, 0.81, 0.588),
    "brown": (0.68, 0.54, 0.427),
    "frisbee": (0.65, 0.63, 0.448),
    "grass": (0.71, 0.61, 0.462),
    "sunset": (0.09, 0.03, 0.042),
    "quickly": (0.11, 0.03, 0.049),
}
NAN = math.nan


def test_triples_of_the_paper():
    sufficiency, necessity, causal = torch.tensor(list(TRIPLES.values()), dtype=torch.float64).T
    reward = causal_reward(sufficiency[None], necessity[None], torch.ones(1, 6))
    torch.testing.assert_close(reward[0], causal, atol=1e-12, rtol=0)


scores = arrays(float, (3, 4), elements=st.floats(-1, 1))
masks = arrays(bool, (3, 4))


@on_tensors
@given(arrays(float, (3, 4), elements=st.floats(0, 1)), scores, masks, st.floats(0, 1), st.floats(0, 1))
def test_is_the_causal_completeness_of_the_scores(sufficiency, necessity, reasoning, lambda_s, lambda_n):
    reward = causal_reward(
        *map(torch.from_numpy, (sufficiency, necessity, reasoning)), lambda_s=lambda_s, lambda_n=lambda_n
    )
    expected = causal_completeness(sufficiency, necessity, lambda_s, lambda_n) * reasoning
    torch.testing.assert_close(reward, torch.from_numpy(expected))
    assert 0 <= reward.min() <= reward.max() <= lambda_s + lambda_n + 1e-12


def test_normalisations():
    sufficiency, necessity = (
        torch.tensor([[0.2, 0.6, NAN], [0.4, NAN, NAN]]),
        torch.tensor([[-0.5, 0.5, 9], [0.0, 9, 9]]),
    )
    reasoning = torch.tensor([[1, 1, 0], [1, 0, 0]])
    arguments = {"lambda_s": 1.0, "lambda_n": 0.5}
    expected = {
        "clip": [[0.2, 0.6 + 0.25, 0], [0.4, 0, 0]],
        "none": [[0.2 - 0.25, 0.6 + 0.25, 0], [0.4, 0, 0]],
        "minmax": [[0.0, 1.5, 0], [0.5 + 0.25, 0, 0]],
    }
    for normalise, reward in expected.items():
        found = causal_reward(sufficiency, necessity, reasoning, normalise=normalise, **arguments)
        torch.testing.assert_close(found, torch.tensor(reward))


def test_minmax_of_a_constant_score_and_of_no_score_is_zero():
    constant = torch.full((2, 2), 0.3)
    assert causal_reward(constant, constant, torch.ones(2, 2), normalise="minmax").tolist() == [[0.0, 0.0]] * 2
    assert causal_reward(constant, constant, torch.zeros(2, 2), normalise="minmax").tolist() == [[0.0, 0.0]] * 2


advantages = arrays(float, 4, elements=st.floats(-3, 3))
causals = arrays(float, (4, 5), elements=st.floats(0, 0.7))
reasonings = arrays(bool, (4, 5))


@on_tensors
@given(advantages, causals, reasonings, st.sampled_from([None, 1, 2, 4]), st.booleans())
def test_equals_the_loop_over_tokens(advantage, causal, reasoning, center, gate):
    """As written (center None, gate False), and with either option or both, against plain loops."""
    found = copo_advantage(*map(torch.from_numpy, (advantage, causal, reasoning)), center=center, gate=gate)
    gets = [[bool(reasoning[i, t]) and not (gate and advantage[i] < 0) for t in range(5)] for i in range(4)]
    for i in range(4):
        mean = 0.0
        if center:
            first = i // center * center
            group = [causal[j, t] for j in range(first, first + center) for t in range(5) if gets[j][t]]
            mean = sum(group) / max(len(group), 1)
        for t in range(5):
            expected = advantage[i] + (causal[i, t] - mean if gets[i][t] else 0.0)
            assert found[i, t].item() == pytest.approx(expected, abs=1e-12)


@on_tensors
@given(advantages, causals, reasonings, st.booleans())
def test_centred_bonus_sums_to_zero_over_each_group(advantage, causal, reasoning, gate):
    advantage, causal, reasoning = map(torch.from_numpy, (advantage, causal, reasoning))
    added = copo_advantage(advantage, causal, reasoning, center=2, gate=gate) - advantage[:, None]
    assert added.view(2, 2, 5).sum((1, 2)).abs().max() < 1e-9


def test_without_scores_it_is_the_advantage():
    advantage = torch.tensor([1.0, -2.0])
    assert copo_advantage(advantage, torch.zeros(2, 3), torch.ones(2, 3)).tolist() == [[1.0] * 3, [-2.0] * 3]


def test_faithful_default_moves_a_group_without_variance_and_lifts_wrong_completions():
    """methods.md 7.11: the addition is never negative."""
    causal = torch.full((2, 3), 0.7)
    assert (copo_advantage(torch.zeros(2), causal, torch.ones(2, 3)) > 0).all()
    assert (copo_advantage(torch.tensor([-0.5, -1.0]), causal, torch.ones(2, 3))[0] > 0).all()
    assert (copo_advantage(torch.tensor([-0.5, -1.0]), causal, torch.ones(2, 3), gate=True) < 0).all()


def test_gate_lets_a_group_of_equal_rewards_through():
    """methods.md 7.11: the gate is A >= 0."""
    causal = torch.full((2, 3), 0.7)
    assert torch.equal(copo_advantage(torch.zeros(2), causal, torch.ones(2, 3), gate=True), causal)


def test_scores_are_constants():
    sufficiency = torch.rand(2, 3, requires_grad=True)
    reward = causal_reward(sufficiency, sufficiency, torch.ones(2, 3))
    assert not reward.requires_grad
    assert not copo_advantage(torch.ones(2, requires_grad=True), sufficiency, torch.ones(2, 3)).requires_grad


def test_token_advantages_may_be_weighted_already():
    """methods.md 7.27: Ahat = w * A + r_causal."""
    weighted = torch.tensor([[1.5, 0.5], [-0.3, -0.1]])
    found = copo_advantage(weighted, torch.full((2, 2), 0.2), torch.tensor([[1, 0], [0, 1]]))
    torch.testing.assert_close(found, torch.tensor([[1.7, 0.5], [-0.3, 0.1]]))


def test_flipped_share_counts_reasoning_tokens_that_change_sign():
    before = torch.tensor([1.0, -0.5, 0.0])
    after = torch.tensor([[1.2, -0.1, NAN], [0.2, -0.3, 0.1], [0.4, 0.0, 0.0]])
    reasoning = torch.tensor([[1, 1, 0], [1, 1, 0], [1, 0, 0]])
    # Flipped: (0, 1) and (1, 0). From 0 upwards is no flip, and (1, 2) is no reasoning.
    assert flipped_share(before, after, reasoning).item() == pytest.approx(2 / 5)
    assert flipped_share(before, after.nan_to_num(), torch.zeros(3, 3)).item() == 0.0


@on_tensors
@given(advantages, causals, reasonings)
def test_flipped_share_is_that_of_the_loop(advantage, causal, reasoning):
    advantage, causal, reasoning = map(torch.from_numpy, (advantage, causal, reasoning))
    after = copo_advantage(advantage, causal, reasoning)
    flips = [
        min(advantage[i].item(), after[i, t].item()) < 0 < max(advantage[i].item(), after[i, t].item())
        for i, t in reasoning.nonzero().tolist()
    ]
    assert flipped_share(advantage, after, reasoning).item() == pytest.approx(sum(flips) / max(len(flips), 1))
    assert flipped_share(advantage, copo_advantage(advantage, causal, reasoning, gate=True), reasoning).item() == 0.0


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"lambda_s": 1.1}, "lambda_s is 1.1"),
        ({"lambda_n": NAN}, "lambda_n is nan"),
        ({"normalise": "max"}, "clip, minmax, none"),
        ({"necessity_BT": torch.zeros(2, 2)}, "necessity_BT has shape"),
        ({"necessity_BT": torch.full((2, 3), -1.5)}, r"necessity_BT holds numbers outside \[-1, 1\]"),
        ({"sufficiency_BT": torch.full((2, 3), NAN)}, "sufficiency_BT holds NaN"),
        ({"reasoning_BT": torch.full((2, 3), 0.5)}, "0 and 1 only"),
        ({"reasoning_BT": torch.ones(3, 2)}, "reasoning_BT has shape"),
    ],
)
def test_bad_scores(changed, words):
    good = {"sufficiency_BT": torch.zeros(2, 3), "necessity_BT": torch.zeros(2, 3), "reasoning_BT": torch.ones(2, 3)}
    with pytest.raises(InputError, match=words):
        causal_reward(**{**good, **changed})


@pytest.mark.parametrize(
    ("advantage", "options", "words"),
    [
        (torch.tensor([1.0, NAN]), {}, "advantage holds NaN"),
        (torch.zeros(3), {}, r"advantage has shape \(3,\)"),
        (torch.zeros(2, 2), {}, r"advantage has shape \(2, 2\)"),
        (torch.zeros(2), {"center": 3}, "groups of 3"),
        (torch.zeros(2), {"center": 0}, "groups of 0"),
    ],
)
def test_bad_advantages(advantage, options, words):
    with pytest.raises(InputError, match=words):
        copo_advantage(advantage, torch.zeros(2, 3), torch.ones(2, 3), **options)

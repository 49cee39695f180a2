"""Advantages within a group."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from causal_attrib.errors import InputError
from causal_attrib.objectives import equal_rewards, group_advantage
from tests.objectives.properties import on_tensors


@pytest.mark.parametrize(("bessel", "expected"), [(True, 0.866), (False, 1.0)])
def test_known_values(bessel, expected):
    """methods.md 5: r = (1, 0, 0, 1) gives +-0.866 with Bessel's correction and +-1 without."""
    advantage = group_advantage(torch.tensor([1.0, 0, 0, 1]), 4, bessel=bessel)
    torch.testing.assert_close(advantage, expected * torch.tensor([1.0, -1, -1, 1]), atol=5e-4, rtol=0)


def test_dr_grpo_has_no_std():
    assert group_advantage(torch.tensor([3.0, 1, 0, 0]), 4, scale=False).tolist() == [2.0, 0.0, -1.0, -1.0]


def test_guard_is_added_to_the_std():
    """Std of (0, 2) with Bessel is sqrt 2."""
    advantage = group_advantage(torch.tensor([0.0, 2.0], dtype=torch.float64), 2, guard=0.5)
    assert advantage.tolist() == pytest.approx([-1 / (2**0.5 + 0.5), 1 / (2**0.5 + 0.5)])


rewards = st.integers(2, 6).flatmap(
    lambda size: st.tuples(
        arrays(float, st.integers(1, 4).map(lambda n: n * size), elements=st.integers(-40, 40).map(lambda x: x / 8)),
        st.just(size),
    )
)


def by_hand(reward, size, bessel, guard):
    """The formula, one group at a time."""
    advantage = []
    for start in range(0, len(reward), size):
        group = reward[start : start + size]
        mean = sum(group) / size
        std = (sum((r - mean) ** 2 for r in group) / (size - bessel)) ** 0.5
        advantage += [(r - mean) / (std + guard) for r in group]
    return advantage


@on_tensors
@given(rewards, st.booleans())
def test_equals_the_formula(case, bessel):
    reward, size = case
    advantage = group_advantage(torch.from_numpy(reward), size, bessel=bessel)
    assert advantage.tolist() == pytest.approx(by_hand(reward.tolist(), size, bessel, 1e-4), abs=1e-9)


@on_tensors
@given(rewards, st.booleans())
def test_sums_to_zero_over_each_group(case, scale):
    reward, size = case
    advantage = group_advantage(torch.from_numpy(reward), size, scale=scale)
    assert advantage.view(-1, size).sum(1).abs().max() < 1e-9


@on_tensors
@given(rewards, st.randoms(use_true_random=False))
def test_permuting_a_group_permutes_its_advantages(case, random):
    reward, size = torch.from_numpy(case[0]), case[1]
    order = torch.tensor([start + i for start in range(0, len(reward), size) for i in random.sample(range(size), size)])
    torch.testing.assert_close(group_advantage(reward[order], size), group_advantage(reward, size)[order])


@on_tensors
@given(rewards, st.floats(0.5, 4), st.floats(-3, 3))
def test_without_guard_it_does_not_depend_on_the_scale_of_rewards(case, factor, shift):
    reward, size = torch.from_numpy(case[0]), case[1]
    rescaled = group_advantage(factor * reward + shift, size, guard=0)
    torch.testing.assert_close(rescaled, group_advantage(reward, size, guard=0), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("scale", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equal_rewards_give_exactly_zero(scale, dtype):
    """The mean of seven times 0.1 is not 0.1 in floats, and the guard would magnify what is left."""
    reward = torch.full((7,), 0.1, dtype=dtype)
    assert group_advantage(reward, 7, scale=scale, guard=0).tolist() == [0.0] * 7
    assert equal_rewards(reward, 7).tolist() == [True]


def test_dynamic_sampling_keeps_groups_with_some_right():
    """methods.md 5, DAPO: 0 < number of right completions < G."""
    reward = torch.tensor([[0.0, 0, 0], [0, 1, 0], [1, 1, 0], [1, 1, 1]])
    right = reward.sum(1)
    assert equal_rewards(reward.flatten(), 3).tolist() == (~((right > 0) & (right < 3))).tolist()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.int64, torch.bool])
def test_computed_in_float32(dtype):
    reward = torch.tensor([1, 0, 0, 1, 0, 1], dtype=dtype)
    advantage = group_advantage(reward, 3)
    assert advantage.dtype == torch.float32
    torch.testing.assert_close(advantage, group_advantage(reward.double(), 3).float())


@pytest.mark.parametrize(
    ("reward", "size", "words"),
    [
        ([1.0, float("nan")], 2, "NaN"),
        ([1.0, float("inf")], 2, "infinity"),
        ([1.0, 0.0, 1.0], 2, "groups of 2"),
        ([[1.0, 0.0]], 2, "groups of 2"),
        ([], 2, "groups of 2"),
        ([1.0, 0.0], 1, "group size is 1"),
        ([1.0, 0.0], 0, "group size is 0"),
    ],
)
def test_bad_rewards(reward, size, words):
    for function in (group_advantage, equal_rewards):
        with pytest.raises(InputError, match=words):
            function(torch.tensor(reward), size)


@pytest.mark.parametrize("guard", [-1e-4, float("nan")])
def test_bad_guard(guard):
    with pytest.raises(InputError, match="guard"):
        group_advantage(torch.tensor([1.0, 0.0]), 2, guard=guard)

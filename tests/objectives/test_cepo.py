"""CE-PO's power mean."""

import math

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from causal_attrib.errors import InputError
from causal_attrib.objectives import cepo_reward, power_mean
from tests.objectives.properties import on_tensors

SCORES, WEIGHTS = (0.9, 0.2, 0.4, 0.3), (0.7, 0.1, 0.1, 0.1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("p", "expected"), [(10, 0.8685), (1, 0.72), (0.7, 0.6991), (0.2, 0.6581), (0, 0.6397), (-2, 0.4428), (-30, 0.2160)]
)
def test_known_values(p, expected, dtype):
    """methods.md 6."""
    mean = power_mean(torch.tensor(SCORES, dtype=dtype), WEIGHTS, p)
    assert mean.dtype == dtype
    assert mean.item() == pytest.approx(expected, abs=5e-5)


def test_reward_is_the_power_mean_of_accuracy_and_channels():
    """The default is p = 0.2 and w = (.7, .1, .1, .1), accuracy first (methods.md 7.19)."""
    reward = cepo_reward(torch.tensor([0.9, 0.3]), torch.tensor([[0.2, 0.4, 0.3], [0.9, 0.2, 0.4]]))
    assert reward.shape == (2,)
    assert reward[0].item() == pytest.approx(0.6581, abs=5e-5)
    accuracy_only = cepo_reward(torch.tensor([0.9]), torch.tensor([[0.0, 0.0, 0.0]]), p=1, weights=(1, 0, 0, 0))
    assert accuracy_only.item() == pytest.approx(0.9)


@pytest.mark.parametrize(("p", "expected"), [(1e6, 0.9), (math.inf, 0.9), (-1e6, 0.2), (-math.inf, 0.2)])
def test_extremes(p, expected):
    assert power_mean(torch.tensor(SCORES), WEIGHTS, p).item() == pytest.approx(expected)


scores = arrays(float, 4, elements=st.floats(0.001, 1))
weights = st.lists(st.integers(0, 20), min_size=4, max_size=4).filter(any)
exponents = st.floats(-40, 40)


@on_tensors
@given(scores, weights, exponents)
def test_equals_the_formula(score, weight, p):
    """Left out where p is so near 0 that the formula itself loses its digits."""
    assume(abs(p) > 0.01)
    total = sum(weight)
    expected = sum(w / total * s**p for s, w in zip(score.tolist(), weight, strict=True) if w) ** (1 / p)
    assert power_mean(torch.from_numpy(score), weight, p).item() == pytest.approx(expected, rel=1e-9)


@on_tensors
@given(scores, weights, exponents)
def test_lies_between_the_smallest_and_the_largest(score, weight, p):
    used = [s for s, w in zip(score.tolist(), weight, strict=True) if w]
    assert min(used) - 1e-9 <= power_mean(torch.from_numpy(score), weight, p).item() <= max(used) + 1e-9


@on_tensors
@given(scores, weights, exponents, exponents)
def test_grows_with_p(score, weight, p, q):
    low, high = (power_mean(torch.from_numpy(score), weight, x).item() for x in sorted((p, q)))
    assert low <= high + 1e-9


@on_tensors
@given(scores, weights, exponents, st.integers(0, 3), st.floats(0, 1))
def test_grows_with_every_score(score, weight, p, which, step):
    higher = score.copy()
    higher[which] += step * (1 - higher[which])
    low, high = (power_mean(torch.from_numpy(s), weight, p).item() for s in (score, higher))
    assert low <= high + 1e-9


@on_tensors
@given(arrays("float32", 4, elements=st.floats(1 / 64, 1, width=32)), weights, st.floats(-0.01, 0.01))
def test_small_exponents_keep_their_digits_in_float32(score, weight, p):
    """(1/p) * log(1 + small), taken as it stands, is off by 1e-7 / p in float32."""
    fine = power_mean(torch.from_numpy(score).double(), weight, p)
    assert power_mean(torch.from_numpy(score), weight, p).item() == pytest.approx(fine.item(), rel=2e-6)


@on_tensors
@given(scores, weights)
def test_continuous_at_zero(score, weight):
    score = torch.from_numpy(score)
    at_zero = power_mean(score, weight, 0).item()
    for p in (2e-6, -2e-6):
        assert power_mean(score, weight, p).item() == pytest.approx(at_zero, rel=1e-4)


@pytest.mark.parametrize("p", [-30, -1, -1e-3, 0, 1e-3, 0.2, 1, 30])
def test_scores_of_zero(p):
    one, none = torch.tensor([0.0, 0.5]), torch.tensor([0.0, 0.0])
    expected = 0.0 if p <= 0 else 0.5 * 0.5 ** (1 / p)
    assert power_mean(one, (1, 1), p).item() == pytest.approx(expected, abs=1e-7)
    assert power_mean(none, (1, 1), p).item() == 0.0
    assert power_mean(one, (0, 1), p).item() == pytest.approx(0.5)  # what weighs nothing counts nowhere


@pytest.mark.parametrize("p", [-1000, 1000])
def test_large_exponents_do_not_overflow(p):
    score = torch.tensor([0.9, 1e-3])
    expected = (0.9 if p > 0 else 1e-3) * 0.5 ** (1 / p)
    assert power_mean(score, (1, 1), p).item() == pytest.approx(expected, rel=1e-5)


def test_scores_are_clipped():
    """BERTScore may leave [0, 1]; methods.md 2.1 clips."""
    assert power_mean(torch.tensor([1.3, -0.2]), (1, 1), 1).item() == pytest.approx(0.5)


def test_rows_are_independent():
    rows = torch.rand(5, 4, generator=torch.Generator().manual_seed(0))
    together = power_mean(rows, WEIGHTS, 0.2)
    torch.testing.assert_close(together, torch.stack([power_mean(row, WEIGHTS, 0.2) for row in rows]))


@pytest.mark.parametrize(
    ("score", "weight", "p", "words"),
    [
        (torch.tensor([0.5, math.nan]), (1, 1), 1, "NaN"),
        (torch.tensor([0.5, 0.5]), (1, 1, 1), 1, "one weight per score"),
        (torch.tensor(0.5), (1,), 1, "one weight per score"),
        (torch.tensor([0.5, 0.5]), (1, -1), 1, "0 or more"),
        (torch.tensor([0.5, 0.5]), (0, 0), 1, "not all 0"),
        (torch.tensor([0.5, 0.5]), (1, math.nan), 1, "0 or more"),
        (torch.tensor([0.5, 0.5]), (1, 1), math.nan, "exponent p"),
    ],
)
def test_bad_input(score, weight, p, words):
    with pytest.raises(InputError, match=words):
        power_mean(score, weight, p)


def test_bad_shapes():
    with pytest.raises(InputError, match="one row of channels"):
        cepo_reward(torch.zeros(2), torch.zeros(3, 3))

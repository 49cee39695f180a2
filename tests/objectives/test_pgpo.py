"""PGPO, by hand."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from causal_attrib.errors import InputError
from causal_attrib.objectives import dependency_weights, pgpo_advantage, vocabulary_dependency
from tests.objectives.properties import on_tensors

dependencies = arrays(float, (3, 5), elements=st.floats(0, 30))
lengths = arrays(int, 3, elements=st.integers(0, 5))


def first(length, width=5):
    return torch.arange(width) < torch.as_tensor(length)[:, None]


def test_weights_by_hand():
    """Scores 0, .25, .4, .7, 1 (as shares of the span) with tau .4 and beta 2: 0, .625, 1, 2, 3, whose sum is 6.625."""
    share = torch.tensor([[0.0, 0.25, 0.4, 0.7, 1.0]], dtype=torch.float64)
    # The span of log(1 + S) is 0.5 here, and its least is 0.1.
    dependency = (0.1 + 0.5 * share).expm1()
    expected = torch.tensor([[0.0, 0.625, 1.0, 2.0, 3.0]], dtype=torch.float64) * 5 / 6.625
    torch.testing.assert_close(dependency_weights(dependency, torch.ones(1, 5)), expected)


def test_kl_by_hand():
    p, q = torch.tensor([[0.5, 0.5, 0.0]]), torch.tensor([[0.25, 0.25, 0.5]])
    # 1/2 ln 2 twice; what has probability 0 adds nothing.
    assert vocabulary_dependency(p.log(), q.log()).item() == pytest.approx(math.log(2))
    assert vocabulary_dependency(q.log(), p.log()).item() == math.inf
    assert vocabulary_dependency(p.log() + 3, p.log()).item() == 0
    with pytest.raises(InputError, match=r"shapes \(1, 3\) and \(1, 2\)"):
        vocabulary_dependency(p, q[:, :2])


@on_tensors
@given(dependencies, lengths, arrays(float, 3, elements=st.floats(-2, 2)), st.floats(0, 0.9), st.floats(0, 5))
def test_the_sum_of_a_response_is_kept(dependency, length, advantage, threshold, boost):
    dependency, advantage, mask = torch.from_numpy(dependency), torch.from_numpy(advantage), first(length)
    after = pgpo_advantage(advantage, dependency, mask, threshold=threshold, boost=boost)
    torch.testing.assert_close(after.sum(1), advantage * mask.sum(1), atol=1e-9, rtol=1e-9)
    assert not after[~mask].any()


@on_tensors
@given(dependencies)
def test_what_depends_more_weighs_more(dependency):
    dependency = torch.from_numpy(dependency)
    weight = dependency_weights(dependency, torch.ones(3, 5))
    assert (weight.gather(1, dependency.argsort(-1)).diff(dim=1) >= -1e-12).all()


def test_without_boost_or_difference_it_is_the_advantage_bit_for_bit():
    dependency = torch.rand(3, 5, generator=torch.Generator().manual_seed(1))
    advantage, mask = torch.tensor([1 / 3, -0.7, 0.1]), first([5, 3, 1])
    constant = pgpo_advantage(advantage, dependency, mask, threshold=0, boost=0)
    assert torch.equal(constant, advantage[:, None] * mask)
    # What differs by rounding alone is not told apart.
    alike = torch.full((3, 5), 0.3) + 1e-8 * dependency
    assert torch.equal(pgpo_advantage(advantage, alike, mask), advantage[:, None] * mask)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"threshold": 1.0}, "The threshold of the gate is 1.0"),
        ({"threshold": math.nan}, "The threshold of the gate is nan"),
        ({"boost": -1.0}, "The boost of the gate is -1.0"),
        ({"dependency_BT": torch.tensor([[math.inf, 0]])}, "dependency_BT holds NaN or infinity"),
        ({"advantage_B": torch.ones(2)}, "advantage_B has shape"),
    ],
)
def test_what_is_wrong_is_said(change, message):
    given = {"advantage_B": torch.ones(1), "dependency_BT": torch.zeros(1, 2), "mask_BT": torch.ones(1, 2)}
    with pytest.raises(InputError, match=message):
        pgpo_advantage(**given | change)

"""The clipped surrogate and the KL penalty."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from causal_attrib.errors import InputError
from causal_attrib.objectives import clipped_surrogate, kl_to_reference
from tests.objectives.properties import on_tensors

logprobs = arrays(float, (2, 3), elements=st.floats(-8, 0))
advantages = arrays(float, (2, 3), elements=st.floats(-3, 3))
ONES = torch.ones(2, 3)


@on_tensors
@given(logprobs, logprobs, advantages, st.floats(0, 0.5), st.floats(0, 0.5))
def test_equals_the_formula(logprob, old, advantage, low, high):
    found = clipped_surrogate(
        *map(torch.from_numpy, (logprob, old, advantage)), ONES, epsilon_low=low, epsilon_high=high
    )
    for i in range(2):
        for t in range(3):
            rho = math.exp(logprob[i, t] - old[i, t])
            clipped = min(max(rho, 1 - low), 1 + high)
            expected = min(rho * advantage[i, t], clipped * advantage[i, t])
            assert found[i, t].item() == pytest.approx(expected, rel=1e-9, abs=1e-12)


def slope(ratio, advantage):
    """The gradient of the surrogate by log pi at a given ratio."""
    logprob = torch.tensor([[math.log(ratio) - 2]], dtype=torch.float64, requires_grad=True)
    old = torch.tensor([[-2.0]], dtype=torch.float64)
    surrogate = clipped_surrogate(logprob, old, torch.tensor([advantage]), torch.ones(1, 1), epsilon_high=0.28)
    return torch.autograd.grad(surrogate.sum(), logprob)[0].item()


@pytest.mark.parametrize(
    ("ratio", "advantage", "expected"),
    [
        (1.0, 2.0, 2.0),
        (1.0, -2.0, -2.0),
        (1.25, 1.0, 1.25),  # above 1.2, below 1.28: DAPO's wider upper bound lets it through
        (1.3, 1.0, 0.0),
        (1.3, -1.0, -1.3),
        (0.7, -1.0, 0.0),
        (0.7, 1.0, 0.7),
        (1.0, 0.0, 0.0),
    ],
)
def test_gradient_is_ratio_times_advantage_until_it_is_clipped(ratio, advantage, expected):
    assert slope(ratio, advantage) == pytest.approx(expected)


def test_on_policy_the_gradient_is_the_advantage():
    logprob = torch.tensor([[-1.0, -2.0], [-0.1, -3.0]], requires_grad=True)
    advantage = torch.tensor([[0.5, -1.5], [2.0, 0.0]])
    surrogate = clipped_surrogate(logprob, None, advantage, torch.ones(2, 2), epsilon_low=0.0, epsilon_high=0.0)
    assert torch.equal(surrogate, advantage)
    surrogate.sum().backward()
    torch.testing.assert_close(logprob.grad, advantage)


def test_only_the_policy_carries_a_gradient():
    tensors = [torch.tensor([[-1.0, -2.0]], requires_grad=True) for _ in range(4)]
    logprob, old, advantage, reference = tensors
    mask = torch.ones(1, 2)
    (
        clipped_surrogate(logprob, old, advantage, mask).sum() + kl_to_reference(logprob, reference, mask).sum()
    ).backward()
    assert logprob.grad is not None
    assert old.grad is None and advantage.grad is None and reference.grad is None


@pytest.mark.parametrize(("d", "expected"), [(0.0, 0.0), (1.0, 0.718282)])
def test_known_kl(d, expected):
    """methods.md 6."""
    kl = kl_to_reference(torch.tensor([[-2.0]]), torch.tensor([[-2.0 + d]]), torch.ones(1, 1))
    assert kl.item() == pytest.approx(expected, abs=5e-7)


@on_tensors
@given(logprobs, logprobs)
def test_kl_equals_the_formula_and_is_never_negative(logprob, reference):
    logprob, reference = torch.from_numpy(logprob), torch.from_numpy(reference)
    d = reference - logprob
    kl = kl_to_reference(logprob, reference, ONES)
    torch.testing.assert_close(kl, d.exp() - d - 1, atol=1e-12, rtol=1e-9)
    assert (kl >= 0).all()
    assert (kl_to_reference(logprob.float(), reference.float(), ONES) >= 0).all()


def test_kl_is_unbiased():
    """Its mean over draws from pi is KL(pi || ref): here exactly, by the sum over a vocabulary."""
    logits = torch.randn(2, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    policy, reference = logits.log_softmax(-1)
    kl = kl_to_reference(policy[None], reference[None], torch.ones(1, 7))[0]
    assert (policy.exp() * kl).sum().item() == pytest.approx((policy.exp() * (policy - reference)).sum().item())


def test_kl_pulls_towards_the_reference():
    logprob = torch.tensor([[-1.0, -3.0]], requires_grad=True)
    kl_to_reference(logprob, torch.tensor([[-2.0, -2.0]]), torch.ones(1, 2)).sum().backward()
    # d/dlogpi (e^d - d - 1) = 1 - e^d
    torch.testing.assert_close(logprob.grad, torch.tensor([[1 - math.exp(-1), 1 - math.exp(1)]]))


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"logprob_BT": torch.full((2, 3), math.nan)}, "logprob_BT holds NaN"),
        ({"logprob_BT": torch.full((2, 3), -math.inf)}, "logprob_BT holds NaN or infinity"),
        ({"logprob_BT": torch.full((2, 3), 0.7)}, "logprob_BT holds positive"),
        ({"old_logprob_BT": torch.full((2, 3), 0.7)}, "old_logprob_BT holds positive"),
        ({"old_logprob_BT": torch.zeros(2, 2)}, "old_logprob_BT has shape"),
        ({"advantage": torch.zeros(3)}, "advantage has shape"),
        ({"advantage": torch.full((2,), math.inf)}, "advantage holds NaN or infinity"),
        ({"mask_BT": torch.ones(2, 2)}, "mask_BT has shape"),
        ({"mask_BT": torch.full((2, 3), 2)}, "mask_BT must hold 0 and 1"),
        ({"epsilon_low": -0.1}, "epsilon_low is -0.1"),
        ({"epsilon_low": 1.1}, "epsilon_low is 1.1"),
        ({"epsilon_high": math.nan}, "epsilon_high is nan"),
    ],
)
def test_bad_input(changed, words):
    zeros = torch.zeros(2, 3)
    good = {"logprob_BT": zeros, "old_logprob_BT": zeros, "advantage": torch.zeros(2), "mask_BT": torch.ones(2, 3)}
    with pytest.raises(InputError, match=words):
        clipped_surrogate(**{**good, **changed})


def test_bad_reference():
    with pytest.raises(InputError, match="reference_logprob_BT has shape"):
        kl_to_reference(torch.zeros(2, 3), torch.zeros(3, 3), torch.ones(2, 3))
    with pytest.raises(InputError, match="reference_logprob_BT holds NaN"):
        kl_to_reference(torch.zeros(2, 3), torch.full((2, 3), math.nan), torch.ones(2, 3))

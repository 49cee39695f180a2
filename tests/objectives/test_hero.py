"""HERO's entropy weights and its variance gate."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from causal_attrib.errors import InputError
from causal_attrib.objectives import entropy_weights, hero_advantage, policy_loss, variance_gate
from tests.objectives.properties import on_tensors

NAN = math.nan


def test_weights_of_known_entropies():
    """methods.md 6."""
    weight = entropy_weights(torch.tensor([[0.05, 0.2, 0.7, 1.5, 2.5]]), torch.ones(1, 5), mean_one=False)
    torch.testing.assert_close(weight, torch.tensor([[0.3699, 0.3184, 0.1931, 0.0868, 0.0319]]), atol=5e-5, rtol=0)


entropies = arrays(float, (3, 5), elements=st.floats(0, 12))
lengths = arrays(int, 3, elements=st.integers(0, 5))


def first(length, width=5):
    """A mask of padding on the right."""
    return torch.arange(width) < torch.as_tensor(length)[:, None]


@on_tensors
@given(entropies, lengths)
def test_equals_the_formula_and_its_scale(entropy, length):
    mask = first(length)
    published, scaled = (entropy_weights(torch.from_numpy(entropy), mask, mean_one=one) for one in (False, True))
    for i, tokens in enumerate(length.tolist()):
        total = sum(math.exp(-h) for h in entropy[i, :tokens])
        expected = [math.exp(-h) / total for h in entropy[i, :tokens]] + [0.0] * (5 - tokens)
        assert published[i].tolist() == pytest.approx(expected, abs=1e-12)
        assert scaled[i].tolist() == pytest.approx([tokens * w for w in expected], abs=1e-12)
        if tokens:
            assert published[i].sum().item() == pytest.approx(1)
            assert scaled[i, :tokens].mean().item() == pytest.approx(1)


@on_tensors
@given(entropies)
def test_lower_entropy_weighs_more(entropy):
    weight = entropy_weights(torch.from_numpy(entropy), torch.ones(3, 5))
    order = torch.from_numpy(entropy).argsort(-1)
    assert (weight.gather(1, order).diff(dim=1) <= 1e-12).all()


@on_tensors
@given(entropies, lengths, arrays(float, 3, elements=st.floats(-2, 2)), st.booleans())
def test_advantage_is_weight_times_advantage(entropy, length, advantage, mean_one):
    entropy, advantage, mask = torch.from_numpy(entropy), torch.from_numpy(advantage), first(length)
    weight = entropy_weights(entropy, mask, mean_one=mean_one)
    both = hero_advantage(advantage, entropy, mask, mean_one=mean_one)
    negative = hero_advantage(advantage, entropy, mask, mean_one=mean_one, negative_only=True)
    for i, tokens in enumerate(length.tolist()):
        torch.testing.assert_close(both[i], advantage[i] * weight[i])
        uniform = mask[i].double() * (1.0 if mean_one else 1 / max(tokens, 1))
        torch.testing.assert_close(negative[i], advantage[i] * (weight[i] if advantage[i] < 0 else uniform))
    # What a completion weighs in all is the same either way.
    torch.testing.assert_close(both.sum(1), negative.sum(1))


@on_tensors
@given(entropies, lengths.filter(lambda length: length.min() > 0), arrays(float, 3, elements=st.floats(-2, 2)))
def test_gradient_is_that_of_the_published_loss(entropy, length, advantage):
    """methods.md 7.24: on policy and without KL, scaled by T in the GRPO aggregation, exactly so.

    The page: L = -(1/G) sum_g sum_t w_{g,t} * A_g * log pi(y_{g,t}), w summing to 1 over a response.
    """
    entropy, advantage, mask = torch.from_numpy(entropy), torch.from_numpy(advantage), first(length)
    logprob = (-torch.rand(3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))).requires_grad_()
    weight = entropy_weights(entropy, mask, mean_one=False)
    published = -(weight * advantage[:, None] * logprob).sum(1).mean()
    ours = policy_loss(logprob, hero_advantage(advantage, entropy, mask), mask)
    torch.testing.assert_close(torch.autograd.grad(ours, logprob), torch.autograd.grad(published, logprob))


def test_weights_are_constants_and_padding_is_not_read():
    entropy = torch.tensor([[0.5, 1.0, NAN], [0.5, -9.0, math.inf]], requires_grad=True)
    weight = entropy_weights(entropy, torch.tensor([[1, 1, 0], [1, 0, 0]]))
    assert not weight.requires_grad
    assert weight[1].tolist() == [1.0, 0.0, 0.0] and weight[0, 2] == 0.0


@pytest.mark.parametrize(
    ("entropy", "mask", "words"),
    [
        (torch.tensor([[0.1, -0.5]]), torch.ones(1, 2), "negative"),
        (torch.tensor([[0.1, NAN]]), torch.ones(1, 2), "NaN"),
        (torch.tensor([[0.1, 0.2]]), torch.ones(2, 2), "mask_BT has shape"),
        (torch.tensor([0.1, 0.2]), torch.ones(2), "mask_BT has shape"),
    ],
)
def test_bad_entropies(entropy, mask, words):
    with pytest.raises(InputError, match=words):
        entropy_weights(entropy, mask)


@pytest.mark.parametrize("advantage", [torch.zeros(3), torch.zeros(2, 2), torch.tensor([0.0, NAN])])
def test_bad_advantages(advantage):
    with pytest.raises(InputError, match="advantage_B"):
        hero_advantage(advantage, torch.zeros(2, 2), torch.ones(2, 2))


def right(*counts, size=8):
    """Rewards of prompts with so many right completions each."""
    return torch.cat([(torch.arange(size) < count).float() for count in counts])


def test_gate_ranks_prompts_by_the_variance_of_a_share():
    """methods.md 4.1, G = 8: 0, .109, .188, .234, .25, .234, .188, .109, 0 for 0..8 right."""
    reward = right(*range(9))
    variance = [0, 0.109, 0.188, 0.234, 0.25, 0.234, 0.188, 0.109, 0]
    assert reward.view(9, 8).var(1, correction=0).tolist() == pytest.approx(variance, abs=5.1e-4)
    # Ties by order: of the two at .188, at .109 and at 0 the first goes in first.
    expected = {1: [4], 3: [3, 4, 5], 4: [2, 3, 4, 5], 6: [1, 2, 3, 4, 5, 6], 8: [0, 1, 2, 3, 4, 5, 6, 7]}
    for count, kept in expected.items():
        assert variance_gate(reward, 8, count / 9).nonzero().flatten().tolist() == kept


def test_gate_ties_are_found_where_floats_differ():
    """1 of 6 right and 5 of 6 right have the same variance, 5/36."""
    for counts in ((1, 5, 0), (5, 1, 0)):
        assert variance_gate(right(*counts, size=6), 6, 0.3).tolist() == [True, False, False]


def test_gate_puts_groups_of_equal_rewards_last_whatever_the_scale():
    reward = torch.tensor([0.1, 0.1, 0.1, 1e-8, 2e-8, 3e-8, 7.0, 7.0, 7.0, 0.0, 0.0, 1000.0])
    assert variance_gate(reward, 3, 0.5).tolist() == [False, True, False, True]
    assert variance_gate(reward, 3, 0.75).tolist() == [True, True, False, True]


@pytest.mark.parametrize(
    ("prompts", "keep", "count"), [(10, 0.6, 6), (11, 0.6, 7), (5, 0.6, 3), (100, 0.55, 55), (3, 1.0, 3)]
)
def test_gate_keeps_the_ceiling_of_its_budget(prompts, keep, count):
    """methods.md 4.1: ceil(0.6 N)."""
    assert variance_gate(right(*[4] * prompts), 8, keep).sum().item() == count


@pytest.mark.parametrize("keep", [0.0, -0.5, 1.5, NAN])
def test_bad_budget(keep):
    with pytest.raises(InputError, match="share of prompts"):
        variance_gate(right(1, 2), 8, keep)


def test_gate_refuses_nan():
    with pytest.raises(InputError, match="NaN"):
        variance_gate(torch.tensor([1.0, NAN]), 2)

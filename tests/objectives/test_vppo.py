"""VPPO, by hand and against the formulas of the authors' code."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from causal_attrib.errors import InputError
from causal_attrib.objectives import policy_loss, response_scale, sampled_dependency, top_tokens, vppo_advantage
from tests.objectives.properties import on_tensors

logprobs = arrays(float, (4, 6), elements=st.floats(-30, 0))
lengths = arrays(int, 4, elements=st.integers(0, 6))


def first(length, width=6):
    """A mask of padding on the right."""
    return torch.arange(width) < torch.as_tensor(length)[:, None]


def published(log_probs, aug_log_probs, advantages, response_mask, top_p, target_min):
    """What dp_actor.py of VPPO-RL makes of advantages, for one micro-batch that is the whole mini-batch.

    Returns:
        Advantages that are scaled, and the mask that losses are multiplied by.
    """
    diff = (aug_log_probs - log_probs).clamp(-20.0, 20.0)
    kl = (diff.exp() - diff - 1).clamp(min=0.0, max=10.0)
    tokens = response_mask.sum(1)
    score = (kl * response_mask).sum(1) / tokens.clamp(min=1)
    valid = tokens > 0
    scale = torch.ones_like(score)
    if valid.sum() > 1:
        low, high = score[valid].quantile(0.0), score[valid].quantile(1.0)
        if high - low > 1e-6:
            normalised = ((score[valid] - low) / (high - low)).clamp(0.0, 1.0)
            target_max = target_min + (1.0 - target_min) / (normalised.mean() + 1e-8)
            scale[valid] = target_min + normalised * (target_max - target_min)
    for_sort = kl.masked_fill(~response_mask.bool(), -math.inf)
    k = torch.ceil(tokens * top_p).int()
    _, indices = for_sort.sort(dim=1, descending=True)
    ranks = torch.arange(kl.shape[1]).expand_as(kl)
    chosen = torch.zeros_like(kl, dtype=torch.bool).scatter_(1, indices, ranks < k[:, None])
    return advantages[:, None] * scale[:, None], chosen & response_mask.bool()


@on_tensors
@given(logprobs, logprobs, lengths, arrays(float, 4, elements=st.floats(-2, 2)), st.sampled_from([0.2, 0.4, 1.0]))
def test_equals_the_published_code(with_picture, spoilt, length, advantage, top):
    with_picture, spoilt, advantage = map(torch.from_numpy, (with_picture, spoilt, advantage))
    # Of equal tokens the code keeps any; here the earlier is kept.
    spoilt = spoilt - torch.arange(24).view(4, 6) / 7
    mask = first(length)
    theirs, chosen = published(with_picture, spoilt, advantage, mask.double(), top, 0.9)
    dependency = sampled_dependency(with_picture, spoilt, mask)
    ours = vppo_advantage(advantage, dependency, mask, top=top, low=0.9)
    torch.testing.assert_close(ours.abs().sum(1), (theirs * chosen).abs().sum(1), atol=1e-12, rtol=1e-9)
    if len(dependency[mask].unique()) == mask.sum():
        torch.testing.assert_close(ours, theirs * chosen, atol=1e-12, rtol=1e-9)


def test_equals_the_published_loss_on_random_tensors():
    """Theirs: the clipped loss times the mask, over all tokens; ours: an advantage of 0 where they mask."""
    generator = torch.Generator().manual_seed(0)
    old, spoilt, moved = -3 * torch.rand(3, 64, 32, generator=generator).double()
    mask = first(torch.randint(1, 33, (64,), generator=generator), 32)
    advantage = torch.randn(64, generator=generator).double()
    logprob = (old + 0.3 * (moved + 1.5)).clamp(max=0)
    scaled, chosen = published(old, spoilt, advantage, mask.double(), 0.4, 0.9)
    ratio = (logprob - old).exp()
    losses = torch.max(-scaled * ratio, -scaled * ratio.clamp(0.8, 1.3)) * chosen
    theirs = (losses * mask).sum() / mask.sum()
    ahat = vppo_advantage(advantage, sampled_dependency(old, spoilt, mask), mask)
    ours = policy_loss(logprob, ahat, mask, old_logprob_BT=old, loss_type="bnpo", epsilon_high=0.3)
    torch.testing.assert_close(ours, theirs, atol=1e-12, rtol=1e-10)


def test_dependency_by_hand():
    # d = ln 2: 2 - ln 2 - 1; d = -ln 2: 1/2 + ln 2 - 1; d = -20 at least: 20 - 1, cut to 10.
    logprob = torch.tensor([[-2.0, -1.0, -0.1, -1.0, math.nan]])
    spoilt = torch.tensor([[-2 + math.log(2), -1 - math.log(2), -99.0, -1.0, -1.0]])
    mask = torch.tensor([[1, 1, 1, 1, 0]])
    expected = torch.tensor([[1 - math.log(2), math.log(2) - 0.5, 10.0, 0.0, 0.0]])
    torch.testing.assert_close(sampled_dependency(logprob, spoilt, mask), expected)


def test_scale_by_hand():
    # Means 0.1, 0.5 and 0.3 lie at 0, 1 and 1/2, whose mean is 1/2: high is 0.8 + 0.2 / 0.5 = 1.2.
    dependency = torch.tensor([[0.0, 0.2], [0.4, 0.6], [0.3, 9.0], [5.0, 5.0]])
    mask = torch.tensor([[1, 1], [1, 1], [1, 0], [0, 0]])
    torch.testing.assert_close(response_scale(dependency, mask, 0.8), torch.tensor([0.8, 1.2, 1.0, 1.0]))


@pytest.mark.parametrize("count, expected", [(5, 2), (1, 1), (6, 3), (0, 0)])
def test_how_many_tokens_are_trained_on(count, expected):
    """ceil(0.4 T): 2, 1, 3 of 5, 1 and 6."""
    chosen = top_tokens(torch.arange(6.0)[None], first([count]), 0.4)
    assert chosen.sum() == expected and chosen[0, count - expected : count].all()


def test_without_settings_it_is_the_advantage_bit_for_bit():
    dependency = torch.rand(3, 5, generator=torch.Generator().manual_seed(1))
    advantage, mask = torch.tensor([1 / 3, -0.7, 0.1]), first([5, 2, 4], 5)
    assert torch.equal(vppo_advantage(advantage, dependency, mask, top=1, low=1), advantage[:, None] * mask)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"top": 0.0}, "The share of tokens to train on is 0.0"),
        ({"low": 1.5}, "The least scale of an advantage is 1.5"),
        ({"low": math.nan}, "The least scale of an advantage is nan"),
        ({"dependency_BT": torch.tensor([[-1.0, 0]])}, "dependency_BT holds negative numbers"),
        ({"dependency_BT": torch.tensor([[math.nan, 0]])}, "dependency_BT holds NaN"),
        ({"dependency_BT": torch.zeros(1, 3)}, "dependency_BT has shape|mask_BT has shape"),
        ({"advantage_B": torch.zeros(1, 2)}, "advantage_B has shape"),
    ],
)
def test_what_is_wrong_is_said(change, message):
    given = {"advantage_B": torch.ones(1), "dependency_BT": torch.zeros(1, 2), "mask_BT": torch.ones(1, 2)}
    with pytest.raises(InputError, match=message):
        vppo_advantage(**given | change)
    with pytest.raises(InputError, match="spoilt_logprob_BT holds NaN"):
        sampled_dependency(torch.zeros(1, 1), torch.tensor([[math.nan]]), torch.ones(1, 1))

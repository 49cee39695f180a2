"""The policy-gradient loss as a whole: against loops, and where its gradient points."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from causal_attrib.errors import InputError
from causal_attrib.objectives import LOSS_TYPES, copo_advantage, group_advantage, policy_loss
from tests.objectives.properties import on_tensors

ROWS, WIDTH = 4, 3
logprobs = arrays(float, (ROWS, WIDTH), elements=st.floats(-6, 0))
advantages = arrays(float, (ROWS, WIDTH), elements=st.floats(-3, 3))
masks = arrays(bool, (ROWS, WIDTH))
NEEDED = {"dr_grpo": {"max_length": 5}, "dapo": {"batch_tokens": 9}}


def by_hand(logprob, old, reference, advantage, mask, loss_type, low, high, beta):
    """methods.md 5, token by token; everything is a list."""
    total = 0.0
    for i in range(ROWS):
        row, tokens = 0.0, sum(mask[i])
        for t in range(WIDTH):
            if mask[i][t]:
                rho, d = math.exp(logprob[i][t] - old[i][t]), reference[i][t] - logprob[i][t]
                clipped = min(max(rho, 1 - low), 1 + high)
                row += min(rho * advantage[i][t], clipped * advantage[i][t]) - beta * (math.exp(d) - d - 1)
        total += row / max(tokens, 1) if loss_type == "grpo" else row
    every = sum(map(sum, mask))
    return -total / {"grpo": ROWS, "bnpo": max(every, 1), "dr_grpo": ROWS * 5, "dapo": 9}[loss_type]


@pytest.mark.parametrize("loss_type", LOSS_TYPES)
@on_tensors
@given(logprobs, logprobs, logprobs, advantages, masks, st.sampled_from([0.0, 0.04]))
def test_equals_the_loop_over_tokens(loss_type, logprob, old, reference, advantage, mask, beta):
    found = policy_loss(
        torch.from_numpy(logprob),
        torch.from_numpy(advantage),
        torch.from_numpy(mask),
        old_logprob_BT=torch.from_numpy(old),
        reference_logprob_BT=torch.from_numpy(reference),
        loss_type=loss_type,
        epsilon_high=0.28,
        beta=beta,
        **NEEDED.get(loss_type, {}),
    )
    lists = [x.tolist() for x in (logprob, old, reference, advantage, mask)]
    assert found.item() == pytest.approx(by_hand(*lists, loss_type, 0.2, 0.28, beta), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("loss_type", LOSS_TYPES)
@on_tensors
@given(logprobs, logprobs, advantages, masks, st.sampled_from([math.nan, math.inf, -math.inf, 1e30]))
def test_padding_changes_neither_loss_nor_gradient(loss_type, logprob, old, advantage, mask, filler):
    """Whatever lies in the padding of any input; NaN too, which a product with the mask would let through."""
    mask = torch.from_numpy(mask)
    clean = [torch.from_numpy(x) for x in (logprob, old, old, advantage)]

    def loss_and_gradient(logprob, old, reference, advantage):
        logprob = logprob.clone().requires_grad_()
        references = {"old_logprob_BT": old, "reference_logprob_BT": reference, "beta": 0.1}
        loss = policy_loss(logprob, advantage, mask, loss_type=loss_type, **references, **NEEDED.get(loss_type, {}))
        return loss.detach(), torch.autograd.grad(loss, logprob)[0]

    found = loss_and_gradient(*(x.masked_fill(~mask, filler) for x in clean))
    for one, other in zip(found, loss_and_gradient(*clean), strict=True):
        assert torch.equal(one, other)
    assert (found[1][~mask] == 0).all()


def gradient(advantage, mask, **options):
    generator = torch.Generator().manual_seed(0)
    logprob = (-3 * torch.rand(mask.shape, dtype=torch.float64, generator=generator)).requires_grad_()
    policy_loss(logprob, advantage, mask, **options).backward()
    return logprob.grad


@pytest.mark.parametrize("loss_type", LOSS_TYPES)
def test_gradient_points_against_the_advantage(loss_type):
    """A step downhill makes the tokens of good completions likelier and those of bad ones less likely."""
    mask = torch.tensor([[1, 1, 0], [1, 1, 1], [1, 0, 0], [1, 1, 1]])
    advantage = group_advantage(torch.tensor([1.0, 0.0, 0.0, 1.0]), 4)
    slope = gradient(advantage, mask, loss_type=loss_type, **NEEDED.get(loss_type, {}))
    assert torch.equal(slope.sign(), -advantage.sign()[:, None] * mask)


@pytest.mark.parametrize("loss_type", LOSS_TYPES)
def test_groups_of_equal_rewards_have_no_gradient(loss_type):
    advantage = group_advantage(torch.tensor([0.1] * 3 + [0.7, 0.1, 0.1]), 3)
    slope = gradient(advantage, torch.ones(6, 2), loss_type=loss_type, max_length=2, batch_tokens=12)
    assert (slope[:3] == 0).all() and (slope[3:] != 0).all()


def test_copo_moves_a_group_of_equal_rewards():
    advantage = group_advantage(torch.zeros(2), 2)
    causal = torch.tensor([[0.5, 0.0], [0.1, 0.0]])
    slope = gradient(copo_advantage(advantage, causal, torch.tensor([[1, 0], [1, 0]])), torch.ones(2, 2))
    torch.testing.assert_close(slope, -causal.double() / 4)  # 1/B * 1/T * r_causal


def test_token_advantages_that_are_all_alike_are_the_completion_s():
    mask = torch.tensor([[1, 1, 0], [1, 1, 1]])
    advantage = torch.tensor([0.7, -0.2])
    assert torch.equal(gradient(advantage, mask), gradient(advantage[:, None].expand(2, 3), mask))


@on_tensors
@given(logprobs, advantages, masks)
def test_gradient_is_numerically_right(logprob, advantage, mask):
    """Off the kinks of the clip."""
    logprob = torch.from_numpy(logprob).requires_grad_()
    old = logprob.detach() - 0.05
    advantage, mask = torch.from_numpy(advantage), torch.from_numpy(mask)

    def loss(logprob):
        return policy_loss(
            logprob, advantage, mask, old_logprob_BT=old.clamp(max=0), reference_logprob_BT=old, beta=0.04
        )

    assert torch.autograd.gradcheck(loss, (logprob,), eps=1e-6, atol=1e-6)


def test_beta_zero_needs_no_reference_and_reads_none():
    logprob, mask = torch.zeros(2, 3), torch.ones(2, 3)
    unusable = torch.full((2, 3), math.nan)
    loss = policy_loss(logprob, torch.zeros(2), mask, reference_logprob_BT=unusable)
    assert loss.item() == 0.0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"beta": 0.04}, "there is no reference"),
        ({"beta": -0.04}, "beta is -0.04"),
        ({"beta": math.nan}, "beta is nan"),
        ({"loss_type": "dapo"}, "give batch_tokens"),
        ({"loss_type": "ppo"}, "no loss type 'ppo'"),
    ],
)
def test_bad_settings(options, words):
    with pytest.raises(InputError, match=words):
        policy_loss(torch.zeros(2, 3), torch.zeros(2), torch.ones(2, 3), **options)

"""PAPO's terms, by hand and against the formulas of the authors' code."""

import math

import pytest
import torch

from causal_attrib.errors import InputError
from causal_attrib.objectives import perception_loss


def test_by_hand():
    # d = -ln 2: k = 1/2 + ln 2 - 1. Then -0.5 k + 0.2 * 1 + 0.1 * (1 + ln 2); and 0 at padding.
    logprob, spoilt = torch.tensor([[-1.0, math.nan]]), torch.tensor([[-1 - math.log(2), math.nan]])
    found = perception_loss(logprob, spoilt, torch.tensor([[1, 0]]), gamma=0.5, eta=0.2, eta_spoilt=0.1)
    expected = -0.5 * (math.log(2) - 0.5) + 0.2 + 0.1 * (1 + math.log(2))
    torch.testing.assert_close(found, torch.tensor([[expected, 0.0]]))


def test_equals_the_published_code_with_its_gradient():
    generator = torch.Generator().manual_seed(0)
    logprob, spoilt = -3 * torch.rand(2, 16, 8, generator=generator).double()
    mask = torch.arange(8) < torch.randint(1, 9, (16, 1), generator=generator)

    def published(log_probs, aug_log_probs):
        """dp_actor.py of PAPO with average_loss "token" (EasyR1's default), without the policy's own loss."""
        kl = (aug_log_probs - log_probs).clamp(-20.0, 20.0)
        kld = (kl.exp() - kl - 1).clamp(min=-10.0, max=10.0)
        mean = lambda values: (values * mask).sum() / mask.sum()  # noqa: E731
        return -0.02 * mean(kld) + 0.05 * -mean(aug_log_probs) + 0.03 * -mean(log_probs)

    def gradients(function):
        leaves = logprob.clone().requires_grad_(), spoilt.clone().requires_grad_()
        loss = function(*leaves)
        loss.backward()
        return [loss.detach(), *(leaf.grad for leaf in leaves)]

    ours = gradients(lambda a, b: perception_loss(a, b, mask, gamma=0.02, eta=0.03, eta_spoilt=0.05).sum() / mask.sum())
    for found, expected in zip(ours, gradients(published), strict=True):
        torch.testing.assert_close(found, expected, atol=1e-12, rtol=1e-9)


def test_weights_out_of_range_are_refused():
    one = torch.ones(1, 1)
    for name in ("gamma", "eta", "eta_spoilt"):
        with pytest.raises(InputError, match=f"{name} is -1, but it must be a number from 0 up"):
            perception_loss(-one, -one, one, **{name: -1})

"""Greedy search under Gumbel noise is sampling from the model's own distribution."""

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from causal_attrib.engine.gumbel import GumbelNoise

SHARES = np.array([0.05, 0.5, 0.2, 0.25])
LOGITS = torch.from_numpy(SHARES).float().log()[None]


@pytest.mark.parametrize("stream", [0, 3])
def test_draws_follow_the_softmax(stream):
    ids = torch.zeros(1, 7, dtype=torch.long)
    draws = [GumbelNoise(0, stream, k)(ids, LOGITS).argmax().item() for k in range(4000)]
    observed = np.bincount(draws, minlength=4)
    assert chisquare(observed, 4000 * SHARES).pvalue > 1e-3


def test_noise_is_a_function_of_its_key_and_the_position():
    at = [torch.zeros(1, length, dtype=torch.long) for length in (7, 8)]
    noise = GumbelNoise(1, 2, 3)(at[0], LOGITS)
    assert torch.equal(noise, GumbelNoise(1, 2, 3)(at[0] + 5, LOGITS))
    others = (GumbelNoise(0, 2, 3), GumbelNoise(1, 0, 3), GumbelNoise(1, 2, 0))
    assert not any(torch.equal(noise, other(at[0], LOGITS)) for other in others)
    assert not torch.equal(noise, GumbelNoise(1, 2, 3)(at[1], LOGITS))

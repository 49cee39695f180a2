"""Greedy search under Gumbel noise is sampling from the model's own distribution."""

import numpy as np
import pytest
import torch
from scipy.stats import chisquare, kstest

from causal_attrib.engine.gumbel import GumbelNoise

SHARES = np.array([0.05, 0.5, 0.2, 0.25])
LOGITS = torch.from_numpy(SHARES).float().log()
CPU = torch.device("cpu")


@pytest.mark.parametrize("stream", [0, 3])
def test_draws_follow_the_softmax(stream):
    draws = [(LOGITS + GumbelNoise(0, stream, k)(7, 4, CPU)).argmax().item() for k in range(4000)]
    observed = np.bincount(draws, minlength=4)
    assert chisquare(observed, 4000 * SHARES).pvalue > 1e-3


def test_noise_is_gumbel():
    assert kstest(GumbelNoise(0, 0, 0)(0, 100_000, CPU), "gumbel_r").pvalue > 1e-3


def test_noise_is_a_function_of_its_key_and_the_place():
    noise = GumbelNoise(1, 2, 3)(7, 4, CPU)
    assert torch.equal(noise, GumbelNoise(1, 2, 3)(7, 4, CPU))
    others = (GumbelNoise(0, 2, 3)(7, 4, CPU), GumbelNoise(1, 0, 3)(7, 4, CPU), GumbelNoise(1, 2, 0)(7, 4, CPU))
    assert not any(torch.equal(noise, other) for other in (*others, GumbelNoise(1, 2, 3)(8, 4, CPU)))

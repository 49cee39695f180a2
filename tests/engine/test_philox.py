"""The generator gives the published numbers, and what is drawn with it is what it should be."""

import numpy as np
import pytest
import torch
from scipy.stats import chisquare, kstest

from causal_attrib.engine.gumbel import GumbelNoise, add_noise, drawn_together
from causal_attrib.engine.philox import exponentials, philox

CPU = torch.device("cpu")


def words(text):
    return [int(word, 16) for word in text.split()]


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [  # known answers of philox4x32, 10 rounds, that its authors give out with Random123
        ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
    ],
)
def test_known_answers(counter, key, expected):
    got = philox(*(tuple(torch.tensor(words(text))) for text in (counter, key)))
    assert got.tolist() == words(expected)


def one_block(counter, key):
    """The same with Python's integers, which do not overflow."""
    for _ in range(10):
        high_0, low_0 = divmod(counter[0] * 0xD2511F53, 2**32)
        high_1, low_1 = divmod(counter[2] * 0xCD9E8D57, 2**32)
        counter = [high_1 ^ counter[1] ^ key[0], low_1, high_0 ^ counter[3] ^ key[1], low_0]
        key = [(key[0] + 0x9E3779B9) % 2**32, (key[1] + 0xBB67AE85) % 2**32]
    return counter


def test_many_rows_at_once_are_those_of_the_plain_algorithm():
    rng = np.random.default_rng(0)
    counters, keys = rng.integers(0, 2**32, (50, 4)), rng.integers(0, 2**32, (50, 2))
    got = philox(tuple(torch.from_numpy(counters.T.copy())), tuple(torch.from_numpy(keys.T.copy())))
    assert got.tolist() == [
        one_block(list(map(int, c)), list(map(int, k))) for c, k in zip(counters, keys, strict=True)
    ]


def test_draws_are_exponential_and_never_zero():
    extremes = exponentials(torch.tensor([0, 1, 2**31, 2**32 - 1]))
    assert extremes.tolist() == pytest.approx([2**-33, 1.5 * 2**-32, np.log(2), 24 * np.log(2)], rel=1e-4)
    drawn = drawn_together([GumbelNoise(0, 0, 0)], [0], 100_000, CPU)[0]
    assert kstest(drawn, "gumbel_r").pvalue > 1e-3


def test_each_row_has_its_own_noise_however_many_are_drawn():
    noises = [GumbelNoise(seed, stream, k) for seed in (0, 2**40) for stream in (0, 3) for k in (0, 1)]
    together = drawn_together(noises, [5] * 8, 11, CPU)
    for row, noise in enumerate(noises):
        assert torch.equal(together[row], drawn_together([noise], [5], 11, CPU)[0])
    assert len({tuple(row.tolist()) for row in together}) == 8
    assert not torch.equal(together, drawn_together(noises, [6] * 8, 11, CPU))


def test_draws_follow_the_softmax():
    shares = np.array([0.05, 0.5, 0.2, 0.25])
    noise_RV = drawn_together([GumbelNoise(0, 1, k) for k in range(4000)], [7] * 4000, 4, CPU)
    drawn = (torch.from_numpy(shares).log() + noise_RV).argmax(1)
    assert chisquare(np.bincount(drawn, minlength=4), 4000 * shares).pvalue > 1e-3


def test_noise_is_added_to_the_rows_that_have_one():
    noises, places = [GumbelNoise(0, 1, 2), None, GumbelNoise(0, 1, 3)], [4, 5, 6]
    scores_RV = torch.zeros(3, 9)
    add_noise(scores_RV, noises, places)
    assert torch.equal(scores_RV[0], noises[0](4, 9, CPU)) and torch.equal(scores_RV[2], noises[2](6, 9, CPU))
    assert not scores_RV[1].any()

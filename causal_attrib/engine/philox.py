"""Philox4x32-10, a counter-based random generator, as tensor operations: any number of streams in a few calls.

Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (SC 2011). Each block of four random words is a function of
a counter of four words and a key of two; there is no state to carry, so rows with keys of their own are drawn at once.
"""

from __future__ import annotations

import torch
from torch import Tensor

_MULTIPLIERS = 0xD2511F53, 0xCD9E8D57
_STEPS = 0x9E3779B9, 0xBB67AE85
_WORD = 0xFFFFFFFF
_ROUNDS = 10


def philox(counter: tuple[Tensor, Tensor, Tensor, Tensor], key: tuple[Tensor, Tensor]) -> Tensor:
    """Random words (..., 4) of counters and keys, all int64 tensors of words in [0, 2**32) that broadcast together.

    >>> zero = torch.zeros((), dtype=torch.int64)
    >>> [hex(word) for word in philox((zero,) * 4, (zero,) * 2).tolist()]
    ['0x6627e8d5', '0xe169c58d', '0xbc57ac4c', '0x9b00dbd8']
    """
    c0, c1, c2, c3 = counter
    for k0, k1 in zip(*(_schedule(*each) for each in zip(key, _STEPS, strict=True)), strict=True):
        # The product of two words fills 64 bits and may come out negative. Of what is above a word (the high part, or
        # the sign's) nothing goes into the next product; what is taken over as it is loses it in the end.
        product_0, product_1 = c0 * _MULTIPLIERS[0], c2 * _MULTIPLIERS[1]
        c0, c1 = ((product_1 >> 32) ^ c1 ^ k0) & _WORD, product_1
        c2, c3 = ((product_0 >> 32) ^ c3 ^ k1) & _WORD, product_0
    return torch.stack(torch.broadcast_tensors(c0, c1 & _WORD, c2, c3 & _WORD), -1)


def _schedule(key: Tensor, step: int) -> Tensor:
    """The key word of each round."""
    rounds = torch.arange(_ROUNDS, device=key.device).view(-1, *[1] * key.dim())
    return (key + rounds * step) & _WORD


def exponentials(words: Tensor) -> Tensor:
    """Exponential draws of mean 1, float32, in (0, 17), one of each random word.

    Small draws, whose logarithm is what Gumbel noise is made of, have the full precision of a float.
    """
    uniform = words.to(torch.float32).add_(0.5).mul_(2**-32).clamp_max_(1 - 2**-24)
    return uniform.neg_().log1p_().neg_()

"""Sampling as greedy search under noise, so that the same seed gives the same words in any batch, order and engine.

The largest of `logits + Gumbel noise` is a draw from softmax(logits) (the Gumbel-max trick). Here the noise is a
function of (seed, stream, k, place) alone, where a token's place is counted from the beginning of the response. With
one stream per prefix the draws of different prefixes are independent; with one stream for all, draw k of every prefix
uses the same noise at the same place (position-keyed coupling): where the model, given a prefix without a token, draws
that very token, both arms go on alike and their difference is exactly 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from causal_attrib.engine.device import moved
from causal_attrib.engine.philox import exponentials, philox

# Rows of noise that are drawn at once: integers of a large vocabulary take room.
_ROWS = 256


@dataclass(frozen=True)
class GumbelNoise:
    """The Gumbel noise of one completion.

    seed:   of the whole run
    stream: which arm; 0 is shared by all arms when draws are coupled
    k:      number of the completion
    """

    seed: int
    stream: int
    k: int

    def __call__(self, place: int, size: int, device: torch.device) -> Tensor:
        """Noise (size,), float32, of the token at `place`; the same on every CPU, and on every GPU."""
        if device.type != "cpu":
            return drawn_together([self], [place], size, device)[0]
        key = np.random.SeedSequence((self.seed, self.stream, self.k, place))
        drawn = np.random.Generator(np.random.SFC64(key)).standard_exponential(size, dtype=np.float32)
        return _gumbel(torch.from_numpy(drawn))


def add_noise(scores_RV: Tensor, noises: Sequence[GumbelNoise | None], places: Sequence[int]) -> None:
    """Add to each row of scores its noise for the token at its place, if it has one."""
    size, device = scores_RV.shape[1], scores_RV.device
    noise_of = {row: noise for row, noise in enumerate(noises) if noise is not None}
    rows = list(noise_of)
    if device.type == "cpu":
        for row in rows:
            scores_RV[row] += noise_of[row](places[row], size, device)
        return
    # There each call takes longer to be sent off than the noise of many rows takes to be drawn.
    for start in range(0, len(rows), _ROWS):
        some = rows[start : start + _ROWS]
        drawn = drawn_together([noise_of[row] for row in some], [places[row] for row in some], size, device)
        scores_RV.index_add_(0, moved(np.array(some), device), drawn)


def drawn_together(noises: Sequence[GumbelNoise], places: Sequence[int], size: int, device: torch.device) -> Tensor:
    """Noise (R, size) of each of R rows, in as many operations as for one."""
    words = [
        (place, noise.k, noise.stream, noise.seed & 0xFFFFFFFF, noise.seed >> 32 & 0xFFFFFFFF)
        for place, noise in zip(places, noises, strict=True)
    ]
    place_R1, k_R1, stream_R1, *key = moved(np.array(words, np.int64), device).split(1, 1)
    block_1B = torch.arange(-(-size // 4), device=device)[None]
    drawn = philox((block_1B, place_R1, k_R1, stream_R1), (key[0], key[1]))
    return _gumbel(exponentials(drawn.flatten(1)[:, :size]))


def _gumbel(exponential: Tensor) -> Tensor:
    """-log of an exponential draw is Gumbel. 0 is one draw in billions, and its infinite noise would be NaN beside a
    forbidden token."""
    return exponential.clamp_min_(torch.finfo(torch.float32).tiny).log_().neg_()

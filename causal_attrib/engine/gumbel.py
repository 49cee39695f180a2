"""Sampling as greedy search under noise, so that the same seed gives the same words in any batch, order and engine.

The largest of `logits + Gumbel noise` is a draw from softmax(logits) (the Gumbel-max trick). Here the noise is a
function of (seed, stream, k, place) alone, where a token's place is counted from the beginning of the response. With
one stream per prefix the draws of different prefixes are independent; with one stream for all, draw k of every prefix
uses the same noise at the same place (position-keyed coupling): where the model, given a prefix without a token, draws
that very token, both arms go on alike and their difference is exactly 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

COUPLINGS = ("independent", "gumbel")


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
        """Noise (size,), float32, of the token at `place`; the same on every CPU, and on every GPU of one kind."""
        key = np.random.SeedSequence((self.seed, self.stream, self.k, place))
        if device.type == "cpu":
            drawn = np.random.Generator(np.random.SFC64(key)).standard_exponential(size, dtype=np.float32)
            exponential_V = torch.from_numpy(drawn)
        else:
            # A vocabulary of noise per row and step would take longer to carry over than to compute.
            generator = torch.Generator(device).manual_seed(int(key.generate_state(1, np.uint64)[0] >> 1))
            exponential_V = torch.empty(size, device=device).exponential_(generator=generator)
        # -log of an exponential draw is Gumbel. 0 is one draw in billions, and its infinite noise would be NaN beside
        # a forbidden token.
        return exponential_V.clamp_min_(torch.finfo(torch.float32).tiny).log_().neg_()

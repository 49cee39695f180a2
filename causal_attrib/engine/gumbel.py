"""Sampling as greedy search under noise, so that the same seed gives the same words in any batch and order.

The largest of `logits + Gumbel noise` is a draw from softmax(logits) (the Gumbel-max trick). Here the noise is a
function of (seed, stream, k, position) alone. With one stream per prefix the draws of different prefixes are
independent; with one stream for all, draw k of every prefix uses the same noise at the same position (position-keyed
coupling): where the model, given a prefix without a token, draws that very token, both arms go on alike and their
difference is exactly 0.
"""

from __future__ import annotations

import numpy as np
import torch
from transformers import LogitsProcessor

COUPLINGS = ("independent", "gumbel")


class GumbelNoise(LogitsProcessor):
    """Adds the Gumbel noise of one completion.

    seed:   of the whole run
    stream: which arm; 0 is shared by all arms when draws are coupled
    k:      number of the completion
    """

    def __init__(self, seed: int, stream: int, k: int):
        self.key = (seed, stream, k)

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        noise_V = np.random.default_rng((*self.key, input_ids.shape[1])).gumbel(size=scores.shape[-1])
        return scores + torch.from_numpy(noise_V).to(scores)

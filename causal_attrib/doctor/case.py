"""What the checks share: a model with something to look at, and how two of its readings are compared.

Axes: T tokens of the caption, V vocabulary. A reading has T + 1 rows; the last one predicts what follows the caption.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from causal_attrib.io.pictures import Picture
from causal_attrib.results.attribution import Attribution
from causal_attrib.scores import score
from causal_attrib.vlm import VLM, Continuation, Encoding

# What two ways of computing the same log-probability may differ by in float32, in nats: the promise of every engine.
EQUAL = 1e-4
# A change of log-probability that is certainly one, in nats, where nothing is rounded as coarsely as that.
CLEAR = 1e-3


@dataclass(frozen=True)
class Case:
    """A model, a picture and a caption (None lets the model write one)."""

    vlm: VLM
    picture: Picture
    given: str | Sequence[int] | None
    seed: int = 0

    @functools.cached_property
    def caption(self) -> str | Sequence[int]:
        return self.vlm.describe(self.picture) if self.given is None else self.given

    @functools.cached_property
    def encoding(self) -> Encoding:
        return self.vlm.encode(self.picture, None, self.caption)

    @property
    def ids(self) -> tuple[int, ...]:
        return self.encoding.response_ids

    @functools.cached_property
    def logits_TV(self) -> Tensor:
        """The reading of the caption as it is."""
        return self.read(Continuation(self.ids))

    @functools.cached_property
    def attribution(self) -> Attribution:
        """The caption's scores, with the settings users get."""
        return self.score()

    @functools.cached_property
    def noise(self) -> float:
        """How far log-probabilities of the caption move where nothing was changed: read again, and read in a batch."""
        readings = [self.read(Continuation(self.ids)), *self.vlm.read(self.encoding, [Continuation(self.ids)] * 3)]
        return max(change(self.logits_TV, reading, self.ids) for reading in readings)

    @functools.cached_property
    def noise_of_shapes(self) -> float:
        """The same where the shape of the forward is another: the caption cut short moves nothing before the cut."""
        kept = self.ids[: len(self.ids) // 2]
        return max(self.noise, change(self.logits_TV, self.read(Continuation(kept)), kept) if kept else 0.0)

    def equal(self, noise: float) -> float:
        """What two ways of computing the same log-probability may differ by in this model's precision.

        In half precision that is the step between neighbouring numbers of the size of the largest logit, or four times
        the noise where that is more.
        """
        dtype = self.vlm.model.dtype
        if dtype == torch.float32:
            return EQUAL
        step = torch.finfo(dtype).eps * self.logits_TV.amax(-1).abs().max().item()
        return max(EQUAL, step, 4 * noise)

    @property
    def clear(self) -> float:
        """A change of log-probability that is certainly one: well above the noise."""
        return max(CLEAR, 10 * self.noise)

    def read(self, row: Continuation, encoding: Encoding | None = None) -> Tensor:
        return self.vlm.read(encoding or self.encoding, [row])[0]

    def score(self, vlm: VLM | None = None, **settings: Any) -> Attribution:
        """`causal_attrib.score` of the caption, by another model if one is given."""
        return score(self.picture, self.caption, model=vlm or self.vlm, seed=self.seed, **settings)


def logprob_T(logits_TV: Tensor, ids: Sequence[int]) -> Tensor:
    """Log-probability of each id in its place."""
    ids_T = torch.tensor(ids, dtype=torch.long, device=logits_TV.device)
    return logits_TV[: len(ids)].log_softmax(-1).gather(-1, ids_T[:, None])[:, 0]


def change(a_TV: Tensor, b_TV: Tensor, ids: Sequence[int]) -> float:
    """Largest difference between two readings in the log-probability of `ids`."""
    return (logprob_T(a_TV, ids) - logprob_T(b_TV, ids)).abs().max().item()


def change_anywhere(a_TV: Tensor, b_TV: Tensor) -> float:
    """Largest difference between two readings in the log-probability of any id of the vocabulary."""
    a_TV, b_TV = a_TV.log_softmax(-1), b_TV.log_softmax(-1)
    # An id that a model rules out has log-probability -inf in both.
    return torch.where(a_TV == b_TV, 0.0, (a_TV - b_TV).abs()).max().item()

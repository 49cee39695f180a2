"""How much the picture speaks for the caption."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from causal_attrib.outcomes.base import Probe, Reading
from causal_attrib.vlm import VLM, Encoding


@dataclass(frozen=True)
class Grounding:
    """r = s( (1/T) * sum_t [ log p(o_t | picture, o_<t) - log p(o_t | reference image, o_<t) ] ), s the logistic.

    The sum runs over the tokens of the caption that an edit left visible; T is the length of the unedited caption, so
    a token that the picture neither helps nor hurts leaves r as it is, and r of the empty caption is 0.5. Our outcome
    for captions (the COPO paper leaves r() for captions open). Range [0, 1].

    The reference image is the encoding's: one colour, or the picture itself blurred, against which what the place alone
    suggests counts for nothing.

    against: which of them it is
    """

    against: str = "colour"
    name: ClassVar[str] = "grounding"
    needs_text: ClassVar[bool] = False

    @property
    def meaning(self) -> str:
        held = ", held against itself blurred," if self.against == "blur" else ""
        return f"how much the image{held} raises the likelihood of the caption's visible words (0.5: not at all)"

    def probes(self, vlm: VLM, encoding: Encoding) -> tuple[Probe, ...]:
        return Probe(), Probe(reference=True)

    def __call__(self, readings: tuple[Reading, ...], encoding: Encoding) -> float:
        seen, unseen = (reading.response_T.sum() for reading in readings)
        return torch.sigmoid((seen - unseen) / len(encoding.response_ids)).item()

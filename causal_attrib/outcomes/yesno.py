"""Whether the model itself says that the caption describes the picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from causal_attrib.outcomes.base import Probe, Reading
from causal_attrib.vlm import VLM, Encoding

QUESTION = "Does this caption describe the image? Answer yes or no."


@dataclass(frozen=True)
class YesNo:
    """r = P(yes) / (P(yes) + P(no)) as the reply to "Does this caption describe the image?" asked after the caption.

    The reply is read as sequences of tokens, so models that split "yes" are served too. Range [0, 1].
    """

    name: ClassVar[str] = "yesno"
    meaning: ClassVar[str] = 'P(yes) when the model is asked "does this caption describe the image?"'
    needs_text: ClassVar[bool] = False

    def probes(self, vlm: VLM, encoding: Encoding) -> tuple[Probe, ...]:
        cue, yes, no = vlm.question_ids(encoding, QUESTION, ("yes", "no"))
        return Probe(cue, yes), Probe(cue, no)

    def __call__(self, readings: tuple[Reading, ...], encoding: Encoding) -> float:
        yes, no = (reading.answer_A.sum() for reading in readings)
        return torch.sigmoid(yes - no).item()

"""How likely the reference answer is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from causal_attrib.outcomes.base import Probe, Reading
from causal_attrib.vlm import VLM, Encoding


@dataclass(frozen=True)
class Likelihood:
    """r = geometric-mean probability of the reference answer's tokens, (prod_a p(a))^(1/A).

    The graded form of r(Y) of COPO (arXiv 2508.04182v2): the paper's 0/1 correctness needs sampled answers, this needs
    one forward, and for a one-token answer it is the probability that sampling gives it. Range [0, 1].
    """

    name: ClassVar[str] = "likelihood"
    meaning: ClassVar[str] = "probability of the reference answer (geometric mean over its tokens)"
    needs_text: ClassVar[bool] = False

    def probes(self, vlm: VLM, encoding: Encoding) -> tuple[Probe, ...]:
        return (Probe(encoding.cue_ids, encoding.answer_ids),)

    def __call__(self, readings: tuple[Reading, ...], encoding: Encoding) -> float:
        (reading,) = readings
        return reading.answer_A.mean().exp().item()

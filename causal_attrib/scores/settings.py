"""How captions are scored: what `causal_attrib.score` takes beside the picture, the texts and the model."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass

from causal_attrib.engine import COUPLINGS, ENGINES
from causal_attrib.errors import InputError
from causal_attrib.interventions import check_fill
from causal_attrib.outcomes import Outcome, check_contrast
from causal_attrib.outcomes.choose import check_name
from causal_attrib.scores import sufficiency
from causal_attrib.scores.saliency_methods.choice import one_of
from causal_attrib.scores.verdict import OUTCOME, check_outcome, read_calibration

LEVELS = ("token", "word")
# COPO draws H completions per prefix and does not say how many; outcomes that read log-probabilities need none.
SAMPLES_FOR_TEXT = 4


@dataclass(frozen=True, kw_only=True)
class CausalSettings:
    """How sufficiency and necessity are taken, of a caption or of what a policy wrote; see `causal_attrib.score`.

    Raises:
        InputError: a setting that is wrong for any picture and text.
    """

    outcome: str = "auto"
    against: str = "colour"
    mask: str = "zero"
    samples: int | None = None
    estimator: str = "paired"
    coupling: str = "independent"
    engine: str = "auto"
    batch_size: int | str = "auto"

    def __post_init__(self):
        check_name(self.outcome)
        check_contrast(self.outcome, self.against)
        check_fill(self.mask)
        one_of("estimator", self.estimator, sufficiency.ESTIMATORS)
        if self.estimator == "product" and self.outcome != "match" and ":" not in self.outcome:
            raise InputError(
                f"The estimator product is for outcomes of 0 and 1, and {self.outcome} is graded; take the outcome "
                "match, or the estimator mean_gain."
            )
        one_of("coupling", self.coupling, COUPLINGS)
        one_of("engine", self.engine, ENGINES)
        if self.samples is not None and self.samples < 0:
            raise InputError(f"The number of samples is {self.samples}, but it must be 0 or more.")
        if self.batch_size != "auto" and not (isinstance(self.batch_size, int) and self.batch_size >= 1):
            raise InputError(
                f"The batch size is {self.batch_size!r}, but it must be a whole number from 1 up, or auto."
            )

    def samples_for(self, judge: Outcome) -> int:
        """H completions per prefix, 0 for none."""
        if self.samples is not None:
            return self.samples
        return SAMPLES_FOR_TEXT if judge.needs_text else 0


@dataclass(frozen=True, kw_only=True)
class Settings(CausalSettings):
    """All that decides how a caption is scored; see `causal_attrib.score`."""

    level: str = "token"
    lambda_s: float = 0.35
    lambda_n: float = 0.35
    seed: int = 0
    verdict: bool = False
    calibration: str | os.PathLike | None = None
    coherence: bool = False

    def __post_init__(self):
        super().__post_init__()
        one_of("level", self.level, LEVELS)
        for what, value in (("lambda_s", self.lambda_s), ("lambda_n", self.lambda_n)):
            if not (math.isfinite(value) and 0 <= value <= 1):
                raise InputError(f"{what} is {value}, but the weights of the scores lie between 0 and 1.")
        if self.seed < 0:
            raise InputError(f"The seed is {self.seed}, but it must be 0 or more.")
        if self.calibration is not None and not self.verdict:
            raise InputError("A calibration is for verdicts; ask for them too: add --verdict (or verdict=True).")
        if self.verdict:
            check_outcome(OUTCOME if self.outcome == "auto" else self.outcome, self.mask)
            read_calibration(self.calibration, self.level, self.against)

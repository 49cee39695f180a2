"""How captions are scored: what `causal_attrib.score` takes beside the picture, the texts and the model.

The flags of `copo score` are made of these fields. No torch and no numpy is imported.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import TYPE_CHECKING

from causal_attrib.choices import (
    COUPLINGS,
    ENGINES,
    ESTIMATORS,
    FILLS,
    LEVELS,
    OUTCOME_WORDS,
    OUTCOMES,
    REFERENCES,
    SIGNALS,
    WORD_LEVELS,
    Against,
    BatchSize,
    Coupling,
    EngineName,
    Estimator,
    Fill,
    Level,
    OutcomeWords,
    check_batch_size,
    check_flag,
    check_seed,
    one_of,
    setting,
    signal_names,
)
from causal_attrib.errors import InputError
from causal_attrib.outcomes.names import check_contrast, check_name
from causal_attrib.scores.selection import Selection, selection_of

if TYPE_CHECKING:
    from causal_attrib.outcomes import Outcome

# COPO draws H completions per prefix and does not say how many; outcomes that read log-probabilities need none.
SAMPLES_FOR_TEXT = 4
SHOWN_ESTIMATOR = "mean_gain if the outcome judges text, else paired"
SHOWN_COUPLING = "gumbel if the outcome judges text, else independent"
# Each is a text of its own per prefix, kept until all are judged.
MOST_SAMPLES = 10_000
# What captions are scored by where a verdict was calibrated.
OUTCOME, MASK = "grounding", "zero"


@dataclass(frozen=True, kw_only=True)
class CausalSettings:
    """How sufficiency and necessity are taken, of a caption or of what a policy wrote; see `causal_attrib.score`.

    Raises:
        InputError: a setting that is wrong for any picture and text.
    """

    # A name of `OUTCOMES`, or module:function.
    outcome: str = setting("auto", f"What scores are differences of: {', '.join(OUTCOMES)}.", metavar="NAME")
    against: Against = setting(
        "colour", f"What grounding holds the image against: {', '.join(REFERENCES)}.", metavar="NAME"
    )
    mask: Fill = setting("zero", f"How a token is hidden: {', '.join(FILLS)}.", metavar="NAME")
    samples: int | None = setting(
        None,
        "Sampled completions per prefix, for sufficiency; 0 judges the prefix as it is.",
        shown=f"0, or {SAMPLES_FOR_TEXT} if the outcome judges text",
        metavar="H",
    )
    estimator: Estimator | None = setting(
        None, f"How sufficiency is read: {', '.join(ESTIMATORS)}.", shown=SHOWN_ESTIMATOR, metavar="NAME"
    )
    coupling: Coupling | None = setting(
        None,
        f"How the samples of neighbouring prefixes are drawn: {', '.join(COUPLINGS)}.",
        shown=SHOWN_COUPLING,
        metavar="NAME",
    )
    engine: EngineName = setting("auto", f"How forwards are run: {', '.join(ENGINES)}.", metavar="NAME")
    batch_size: BatchSize = setting("auto", "Rows per forward pass, or auto.", metavar="N")

    def __post_init__(self) -> None:
        check_name(self.outcome)
        check_contrast(self.outcome, self.against)
        one_of("mask", self.mask, FILLS)
        if self.estimator is not None:
            one_of("estimator", self.estimator, ESTIMATORS)
        if self.estimator == "product" and self.outcome != "match" and ":" not in self.outcome:
            raise InputError(
                f"The estimator product is for outcomes of 0 and 1, and {self.outcome} is graded; take the outcome "
                "match, or the estimator mean_gain."
            )
        if self.coupling is not None:
            one_of("coupling", self.coupling, COUPLINGS)
        one_of("engine", self.engine, ENGINES)
        whole = isinstance(self.samples, Integral) and not isinstance(self.samples, bool)
        if self.samples is not None and not whole:
            raise InputError(f"The number of samples is {self.samples!r}, but it must be a whole number.")
        if self.samples is not None and self.samples < 0:
            raise InputError(f"The number of samples is {self.samples}, but it must be 0 or more.")
        if self.samples is not None and self.samples > MOST_SAMPLES:
            raise InputError(f"The number of samples is {self.samples}, but it must be {MOST_SAMPLES:,} or fewer.")
        check_batch_size(self.batch_size)

    def samples_for(self, judge: Outcome) -> int:
        """H completions per prefix, 0 for none."""
        if self.samples is not None:
            return self.samples
        return SAMPLES_FOR_TEXT if judge.needs_text else 0

    def estimator_for(self, judge: Outcome) -> Estimator:
        """How sufficiency is read: the paper's "paired" is biased where completions are judged by their text."""
        return self.estimator or ("mean_gain" if judge.needs_text else "paired")

    def coupling_for(self, judge: Outcome) -> Coupling:
        """How the samples of neighbouring prefixes are drawn."""
        return self.coupling or ("gumbel" if judge.needs_text else "independent")


@dataclass(frozen=True, kw_only=True)
class Settings(CausalSettings):
    """All that decides how a caption is scored; see `causal_attrib.score`.

    Raises:
        InputError: a setting that is wrong for any picture and text. No file is read: whether there is such a
            calibration is found by `scores.verdict.read_calibration`.
    """

    level: Level = setting(
        "token",
        f"What is hidden at once: {', '.join(LEVELS)} (sentences, then words of those that matter).",
        metavar="NAME",
    )
    tokens: str = setting(
        "all",
        "Which of them are: all, content, top-entropy, top-logprob-gap, or a number; others get no score.",
        metavar="NAME",
    )
    outcome_words: OutcomeWords = setting(
        "all", f"Which words the outcome grounding looks at: {', '.join(OUTCOME_WORDS)}.", metavar="NAME"
    )
    precision: float = setting(0.02, "Draw no more for a word whose standard error is below this; 0 draws all H.")
    lambda_s: float = setting(0.35, "Weight of sufficiency.")
    lambda_n: float = setting(0.35, "Weight of necessity.")
    seed: int = setting(0, "Seed of everything random.")
    # Names, or a text with commas between them, which is made a tuple; "all" leaves out what a model does not have.
    signals: str | Sequence[str] | None = setting(
        None,
        f"Also signals of each token: {', '.join(SIGNALS[:5])}, kl, logit_lens, ... or all (docs/detection.md).",
        shown="none",
        metavar="NAME,NAME",
    )
    coherence: bool = setting(False, "Also how image and prompt drive tagged reasoning, and the reasoning its answer.")
    verdict: bool = setting(False, "Also whether each word is grounded, against the image or a language prior.")
    calibration: str | os.PathLike[str] | None = setting(
        None,
        "Calibration of verdicts, from copo eval verdict --fit.",
        shown="that of the small model in the package",
        metavar="FILE",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("level", self.level, LEVELS)
        selection_of(self.tokens)
        if self.level == "sentence" and self.tokens != "all":
            raise InputError("Sentences are all scored; leave --tokens out, or take --level auto.")
        for what, value in (("lambda_s", self.lambda_s), ("lambda_n", self.lambda_n)):
            if not (isinstance(value, Real) and math.isfinite(value) and 0 <= value <= 1):
                raise InputError(f"{what} is {value!r}, but the weights of the scores lie between 0 and 1.")
        if not (isinstance(self.precision, Real) and math.isfinite(self.precision) and self.precision >= 0):
            raise InputError(f"The precision is {self.precision!r}, but it must be a number from 0 up.")
        check_seed(self.seed)
        check_flag("coherence", self.coherence)
        check_flag("verdict", self.verdict)
        self._check_words()
        if self.signals is not None:
            object.__setattr__(self, "signals", _of_one_picture(self.signals))
        if self.calibration is not None and not self.verdict:
            raise InputError("A calibration is for verdicts; ask for them too: add --verdict (or verdict=True).")
        if self.verdict and (self.level not in WORD_LEVELS or self.tokens != "all"):
            raise InputError(
                f"A verdict needs the score of every word; take the level {' or '.join(WORD_LEVELS)}, and all tokens."
            )
        if self.verdict:
            check_outcome(OUTCOME if self.outcome == "auto" else self.outcome, self.mask)

    @property
    def selection(self) -> Selection:
        """Which units are intervened upon."""
        return selection_of(self.tokens)

    def _check_words(self) -> None:
        one_of("choice of the outcome's words", self.outcome_words, OUTCOME_WORDS)
        check_words(OUTCOME if self.outcome == "auto" else self.outcome, self.outcome_words)


def _of_one_picture(signals: str | Sequence[str]) -> str | tuple[str, ...]:
    """The names, if one picture is enough for them, or "all"."""
    names = signal_names(signals)
    if names == SIGNALS:
        return "all"
    others = [name for name in names if name.endswith("_other")]
    if others:
        raise InputError(
            f"The signal {others[0]} holds the caption against another picture, which a single one does not have; "
            "leave it out, or use copo eval detection."
        )
    return names


def check_words(outcome: str, words: str) -> None:
    """Raises InputError where some of the words are asked for, and the outcome looks at no words of the caption."""
    if words != "all" and outcome != OUTCOME:
        raise InputError(
            f"The outcome {outcome} looks at no words of the caption; leave out --outcome-words (or outcome_words=), "
            f"or take the outcome {OUTCOME}."
        )


def check_outcome(outcome: str, mask: str) -> None:
    """Raises InputError unless captions are scored as where verdicts were calibrated."""
    if (outcome, mask) != (OUTCOME, MASK):
        raise InputError(
            f"A verdict is calibrated under the outcome {OUTCOME} with the mask {MASK}, not under {outcome} with "
            f"{mask}; leave the verdict out, or ask for those."
        )

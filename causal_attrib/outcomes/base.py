"""What an outcome is: a number r in [0, 1] that says how right the model is after an edit of its response.

There are two kinds. A `LogprobOutcome` reads log-probabilities off a forward (graded, cheap, no sampling). A
`TextOutcome` judges text that the model writes (as in the COPO paper, where r is 1 if the final answer is right).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Protocol

from torch import Tensor

from causal_attrib.errors import InputError
from causal_attrib.vlm import VLM, Encoding


@dataclass(frozen=True)
class Probe:
    """One reading of log-probabilities behind an edited response.

    cue, answer: ids put behind the response; `answer` is what is read
    reference:   read it with the reference image instead of the user's
    """

    cue: tuple[int, ...] = ()
    answer: tuple[int, ...] = ()
    reference: bool = False


@dataclass(frozen=True)
class Reading:
    """Log-probabilities (nats, float32) of the visible response tokens and of the answer tokens of a probe.

    places: which tokens of the response the visible ones are; of completed responses their places there
    completed: the ids of a completed response; None of one that is the user's
    """

    response_T: Tensor
    answer_A: Tensor
    places: tuple[int, ...] = ()
    completed: tuple[int, ...] | None = None


class LogprobOutcome(Protocol):
    """Reads log-probabilities.

    name:       as on the command line
    meaning:    one sentence for the reader of a table
    needs_text: False
    """

    needs_text: ClassVar[bool]

    @property
    def name(self) -> str: ...

    @property
    def meaning(self) -> str: ...

    def probes(self, vlm: VLM, encoding: Encoding) -> tuple[Probe, ...]: ...

    def __call__(self, readings: tuple[Reading, ...], encoding: Encoding) -> float: ...


class TextOutcome(Protocol):
    """Judges text: the answer where a question is answered, else the whole caption.

    name, meaning: as above
    needs_text:    True
    """

    needs_text: ClassVar[bool]

    @property
    def name(self) -> str: ...

    @property
    def meaning(self) -> str: ...

    def __call__(self, text: str) -> float: ...


Outcome = LogprobOutcome | TextOutcome


def checked(r: object, name: str) -> float:
    """The outcome as a float, if it is one.

    Raises:
        InputError: r is no number, NaN, or outside [0, 1] (by more than rounding).
    """
    try:
        number = math.nan if isinstance(r, (str, bytes)) else float(r)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError, RuntimeError):  # RuntimeError: a tensor of several numbers
        number = math.nan
    if not -1e-6 <= number <= 1 + 1e-6:  # nor is NaN
        raise InputError(f"The outcome {name} gave {_short(r)}; an outcome must be a number from 0 to 1.")
    return min(max(number, 0.0), 1.0)


def _short(value: object) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 80 else f"{text[:77]}..."

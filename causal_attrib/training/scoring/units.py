"""Which tokens of a completion are scored, and which of them together.

An edit costs a forward (or H completions), so a subset makes training cheaper: COPO (arXiv 2508.04182v2) scores every
reasoning token, and what is left out here simply gets no causal reward.
"""

from __future__ import annotations

import math
import re

import numpy as np

from causal_attrib.errors import InputError
from causal_attrib.vlm import Encoding
from causal_attrib.words.claims import is_content

LEVELS = ("token", "word", "span")
SUBSETS = ("all", "entropy", "content")

Unit = tuple[int, ...]

_CLAUSE_ENDS = re.compile(r"[.,;:!?\n]\s*$")
_LETTERS = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")


def choose_units(
    encoding: Encoding,
    entropy_T: np.ndarray | None = None,
    *,
    level: str = "token",
    subset: str = "all",
    share: float = 0.2,
) -> tuple[Unit, ...]:
    """The units of a completion that are scored, in the order of the text.

    Args:
        entropy_T: entropies of the response tokens in nats, needed for the subset "entropy".
        level: "token"; "word"; "span": the words up to and with the next punctuation mark.
        subset: "all"; "entropy": the ceil(share * U) units with the highest entropy at one of their tokens, the earlier
            of equal ones; "content": units with a word that is no English function word (`words.claims`).
        share: in (0, 1].

    Raises:
        InputError: as `check_units`.
    """
    check_units(level, subset, share)
    units = _spans(encoding) if level == "span" else encoding.units(level)
    if subset == "content":
        return tuple(unit for unit in units if has_content(_text(encoding, unit)))
    if subset == "entropy":
        peak_U = np.array([max(entropy_T[t] for t in unit) for unit in units])
        # 0.55 * 100 is 55.00000000000001 in floats, of which ceil makes 56.
        count = math.ceil(share * len(units) - 1e-9)
        return tuple(units[u] for u in sorted(np.argsort(-peak_U, kind="stable")[:count]))
    return units


def check_units(level: str, subset: str, share: float) -> None:
    """Raises InputError unless the settings are among those that `choose_units` takes."""
    for what, value, allowed in (("level", level, LEVELS), ("subset", subset, SUBSETS)):
        if value not in allowed:
            raise InputError(f"There is no {what} {value!r}; choose one of {', '.join(allowed)}.")
    if not 0 < share <= 1:
        raise InputError(f"The share of units to score is {share}, but it must lie above 0 and be 1 at most.")


def has_content(text: str) -> bool:
    """Whether a text has a word that may say something of the picture.

    >>> has_content(" dog"), has_content(" on the"), has_content(", and 3 cats"), has_content("...")
    (True, False, True, False)
    """
    return any(is_content(word) for word in _LETTERS.findall(text))


def _spans(encoding: Encoding) -> tuple[Unit, ...]:
    spans, current = [], []
    for t in encoding.scored:
        current.append(t)
        if _CLAUSE_ENDS.search(_text(encoding, (t,))):
            spans.append(tuple(current))
            current = []
    return tuple(spans + [tuple(current)] * bool(current))


def _text(encoding: Encoding, unit: Unit) -> str:
    return encoding.response[encoding.spans[unit[0]][0] : encoding.spans[unit[-1]][1]]

"""Would the outcome fall without this token?

COPO (arXiv 2508.04182v2):  S_nec(o_t) = r(Y) - r(Y_t^mask), with o_t replaced by a mask token whose value is zero and
the rest kept. Range [-1, 1]; a negative value says that the outcome is better without the token.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from causal_attrib.interventions import Intervention, Mask, Rewrite, Whole

Unit = tuple[int, ...]


def plan(units: Sequence[Unit], fill: str = "zero", *, rewrites: bool = False) -> tuple[Intervention, ...]:
    """The edits necessity needs.

    Args:
        units: tokens that are hidden together.
        fill: what hides them (`choices.FILLS`).
        rewrites: the response is a caption and the outcome judges its text, so masking a word without writing the rest
            anew would change nothing. Both arms are then rewritten behind the word, alike (greedy), one with the word
            and one with it masked and left out of what is judged.

    >>> plan([(0,), (1, 2)])
    (Whole(), Mask(tokens=(0,), fill='zero'), Mask(tokens=(1, 2), fill='zero'))
    """
    if rewrites:
        return tuple(edit for unit in units for edit in (Rewrite(unit[-1] + 1), Rewrite(unit[-1] + 1, unit, fill)))
    return (Whole(), *(Mask(unit, fill) for unit in units))


def read(outcome_N: np.ndarray, *, rewrites: bool = False) -> np.ndarray:
    """Necessity of each unit from the outcomes of its `plan`, array (U,).

    >>> read(np.array([0.9, 0.2, 0.9])).round(6).tolist()
    [0.7, 0.0]
    """
    if rewrites:
        return outcome_N[0::2] - outcome_N[1::2]
    return outcome_N[0] - outcome_N[1:]

"""Spans that a detector marks, held against those that people marked: F1_IoU of MHALO (ACL Findings 2025.478).

A span is [start, end) in words of the text cut at white space, as MHALO's code counts. With IoU(a, b) the words that
two spans share over the words that either has:

    IoU_G   mean over the marked spans of the largest IoU with a labelled one       (precision)
    IoU_H   mean over the labelled spans of the largest IoU with a marked one       (recall)
    F1_IoU  2 * IoU_G * IoU_H / (IoU_G + IoU_H)

of each text, 0 where one side has no span, and the mean over texts that have a labelled one. IoU_G and IoU_H are those
of the published code; that their harmonic mean is the paper's F1_IoU is our reading of its name. A text without a
labelled span has no recall, and is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import numpy as np

Span = tuple[int, int]


def words_of(text: str) -> list[Span]:
    """The characters of each word.

    >>> words_of("a red dog.")
    [(0, 1), (2, 5), (6, 10)]
    """
    return [match.span() for match in re.finditer(r"\S+", text)]


def runs(marked: Iterable[bool]) -> list[Span]:
    """Words in a row that are marked, as spans.

    >>> runs([True, True, False, True])
    [(0, 2), (3, 4)]
    """
    found: list[Span] = []
    for place, is_marked in enumerate(marked):
        if is_marked and found and found[-1][1] == place:
            found[-1] = (found[-1][0], place + 1)
        elif is_marked:
            found.append((place, place + 1))
    return found


def iou(first: Span, second: Span) -> float:
    """Shared words over words of either.

    >>> iou((0, 4), (2, 6)).__round__(4)
    0.3333
    """
    shared = max(min(first[1], second[1]) - max(first[0], second[0]), 0)
    either = first[1] - first[0] + second[1] - second[0] - shared
    return shared / either if either else 0.0


def best_iou(spans: Sequence[Span], others: Sequence[Span]) -> float:
    """Mean over `spans` of the largest IoU with one of `others`; 0 where either is empty."""
    if not spans or not others:
        return 0.0
    return sum(max(iou(span, other) for other in others) for span in spans) / len(spans)


def f1_iou(marked: Sequence[Span], labelled: Sequence[Span]) -> float:
    """Of one text, from 0 to 1.

    >>> f1_iou([(0, 4)], [(2, 6), (8, 9)]).__round__(4)
    0.2222
    """
    precision, recall = best_iou(marked, labelled), best_iou(labelled, marked)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def mean_f1_iou(texts: Sequence[tuple[np.ndarray, np.ndarray]]) -> float:
    """Mean over texts with a labelled span, each given as which of its words are marked and which are labelled."""
    values = [f1_iou(runs(marked), runs(labelled)) for marked, labelled in texts if np.any(labelled)]
    return float(np.mean(values)) if values else float("nan")

"""AMBER's numbers for yes/no questions, with No as the positive class (Wang et al., 2023, section 4.3).

    accuracy = right / questions     precision = right No / said No     recall = right No / questions to answer with No

The authors' script takes only the exact replies "Yes" and "No", starts its counters at 0.001, rounds precision and
recall to one decimal, and takes F1 from the rounded numbers with 0.0001 (0.001 for existence) below the line.
`official` gives its figures; the others are exact, in percent. Existence has no question to answer with yes, so its
precision is 100 whenever a No was said, and its F1 says no more than its recall.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from causal_attrib.errors import InputError
from causal_attrib.evaluation.amber.files import Response
from causal_attrib.evaluation.intervals import Bounded, Estimate, by_cluster, estimate, ratio, share
from causal_attrib.evaluation.yesno import Reply, parse

PARSERS = ("official", "words", "exact", "first-token")
DIMENSIONS = ("all", "existence", "attribute", "state", "number", "action", "relation")


@dataclass(frozen=True)
class DimensionScores:
    """The numbers of one dimension; `official` is what the authors' script prints."""

    dimension: str
    questions: int
    undecided: int
    accuracy: Estimate
    precision: Estimate
    recall: Estimate
    f1: Estimate
    official: dict[str, float]


def said(text: str, parser: str = "official") -> bool | None:
    """Yes, no, or None for a reply that is neither, which counts as wrong.

    >>> [said(text) for text in ("Yes", "No", "No.", "no")]
    [True, False, None, None]
    """
    if parser not in PARSERS:
        raise InputError(f"AMBER has no parser {parser!r}; choose one of {', '.join(PARSERS)}.")
    return {"Yes": True, "No": False}.get(text) if parser == "official" else parse(Reply(text), parser)


def score_questions(
    responses: Sequence[Response], *, parser: str = "official", resamples: int = 1000, seed: int = 0
) -> list[DimensionScores]:
    """The numbers of each dimension that was asked about, all questions together first."""
    read = [(response, said(response.text, parser)) for response in responses]
    scores = []
    for dimension in DIMENSIONS:
        chosen = [
            (response, said) for response, said in read if dimension == "all" or dimension in response.item.dimensions
        ]
        if chosen:
            scores.append(_score(dimension, chosen, resamples, seed))
    return scores


def _score(dimension: str, read: list[tuple[Response, bool | None]], resamples: int, seed: int) -> DimensionScores:
    counts_NK = np.array([_counts(bool(response.item.answer), said) for response, said in read], dtype=float)
    sums_CK = by_cluster([response.image for response, _ in read], counts_NK)
    parts = 3 if dimension == "attribute" else 1
    return DimensionScores(
        dimension=dimension,
        questions=len(read),
        undecided=sum(said is None for _, said in read),
        **estimate(sums_CK, _METRICS, resamples=resamples, seed=seed),
        official=_official(*sums_CK.sum(0), start=0.001 * parts, added=0.001 if dimension == "existence" else 0.0001),
    )


def _counts(answer: bool, said: bool | None) -> tuple[int, ...]:
    """1, right, said No, right No, should be No."""
    return 1, said is answer, said is False, said is False and not answer, not answer


def _official(
    asked: float, right: float, nos: float, right_nos: float, due: float, *, start: float, added: float
) -> dict:
    """The script's arithmetic; it adds up three counters for attributes, so three times 0.001."""
    accuracy = round(right / (asked + start) * 100, 1)
    precision = round(right_nos / (nos + start) * 100, 1)
    recall = round(right_nos / (due + start) * 100, 1)
    f1 = round(2 * (precision / 100) * (recall / 100) / (precision / 100 + recall / 100 + added) * 100, 1)
    return {"accuracy": accuracy, "precision": precision, "recall": recall, "f1": f1}


_METRICS = {
    "accuracy": share(1, 0),
    "precision": share(3, 2),
    "recall": share(3, 4),
    "f1": Bounded(lambda sums: ratio(2 * sums[..., 3], sums[..., 2] + sums[..., 4])),
}

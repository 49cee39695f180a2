"""Did this token bring the outcome about?

COPO (arXiv 2508.04182v2):

    S_suff(o_t) = (1/H) * sum_k relu( r(Y_(t)^k) - r(Y_(t-1)^k) )

where Y_(t)^k is the answer of the k-th completion sampled from the prefix that ends with o_t, and Y_(t-1)^k that from
the prefix that ends before it. Range [0, 1].

The estimate is biased upwards: relu does not let gains and losses cancel. A token without effect, with r in {0, 1} and
success rate p, gets p * (1 - p) at any H; in general p1 * (1 - p0). More samples shrink the standard error, not this
bias. `mean_gain` (relu of the mean difference) and coupled draws are the ways round it; `product` gives the same value
with less noise, since it pairs each draw of one prefix with each of the other.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from causal_attrib.errors import InputError
from causal_attrib.interventions import Keep

Unit = tuple[int, ...]


def plan(units: Sequence[Unit]) -> tuple[Keep, ...]:
    """The prefixes sufficiency needs: before the first unit and behind each unit, U + 1 for U units that touch.

    The completions of a prefix serve the unit before it (as "with") and the one behind it (as "without").

    >>> plan([(0,), (1, 2), (4,)])
    (Keep(count=0), Keep(count=1), Keep(count=3), Keep(count=4), Keep(count=5))
    """
    counts = {bound for unit in units for bound in (unit[0], unit[-1] + 1)}
    return tuple(Keep(count) for count in sorted(counts))


def read(
    units: Sequence[Unit], outcome_NH: np.ndarray, estimator: str = "paired"
) -> tuple[np.ndarray, np.ndarray | None]:
    """Sufficiency of each unit and its standard error from the outcomes of its `plan`.

    Args:
        outcome_NH: outcomes (prefixes, H); with one column that is the forced early answer, without standard error.
        estimator: "paired" is the paper's mean of relu over draws paired by k; "mean_gain" is relu of the mean;
            "product" is p1 * (1 - p0) of the shares of draws that are right, for outcomes of 0 and 1.

    Returns:
        Sufficiency (U,) and the standard error of the mean over H draws (U,), None for H = 1.

    Raises:
        InputError: the product of outcomes that are neither 0 nor 1.

    >>> sufficiency, error = read([(0,)], np.array([[0.0, 1.0, 0.0, 1.0], [1.0, 1.0, 1.0, 0.0]]))
    >>> sufficiency.tolist(), error.round(4).tolist()
    ([0.5], [0.2887])
    >>> read([(0,)], np.array([[0.0, 1.0, 0.0, 1.0], [1.0, 1.0, 1.0, 0.0]]), "mean_gain")[0].tolist()
    [0.25]
    >>> read([(0,)], np.array([[0.0, 1.0, 0.0, 1.0], [1.0, 1.0, 1.0, 0.0]]), "product")[0].tolist()
    [0.375]
    """
    row_of = {keep.count: row for row, keep in enumerate(plan(units))}
    with_UH = outcome_NH[[row_of[unit[-1] + 1] for unit in units]]
    without_UH = outcome_NH[[row_of[unit[0]] for unit in units]]
    if estimator == "product":
        return _product(with_UH, without_UH)
    difference_UH = with_UH - without_UH
    terms_UH = np.maximum(difference_UH, 0.0) if estimator == "paired" else difference_UH
    draws = terms_UH.shape[1]
    error_U = terms_UH.std(axis=1, ddof=1) / np.sqrt(draws) if draws > 1 else None
    return np.maximum(terms_UH.mean(axis=1), 0.0), error_U


def _product(with_UH: np.ndarray, without_UH: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """p1 * (1 - p0), and its standard error by the delta method for independent arms."""
    if not np.isin([with_UH, without_UH], (0.0, 1.0)).all():
        raise InputError("The estimator product is for outcomes of 0 and 1; take paired or mean_gain.")
    draws = with_UH.shape[1]
    p1_U, p0_U = with_UH.mean(1), without_UH.mean(1)
    if draws == 1:
        return p1_U * (1 - p0_U), None
    variance_1_U, variance_0_U = (p * (1 - p) / (draws - 1) for p in (p1_U, p0_U))
    return p1_U * (1 - p0_U), np.sqrt(variance_1_U * (1 - p0_U) ** 2 + variance_0_U * p1_U**2)

"""Did this token bring the outcome about?

COPO (arXiv 2508.04182v2):

    S_suff(o_t) = (1/H) * sum_k relu( r(Y_(t)^k) - r(Y_(t-1)^k) )

where Y_(t)^k is the answer of the k-th completion sampled from the prefix that ends with o_t, and Y_(t-1)^k that from
the prefix that ends before it. Range [0, 1].

The estimate is biased upwards: relu does not let gains and losses cancel. A token without effect, with r in {0, 1} and
success rate p, gets p * (1 - p) at any H; in general p1 * (1 - p0). More samples shrink the standard error, not this
bias. `mean_gain` (relu of the mean difference) and coupled draws are the ways round it, and the default for outcomes
that judge text; `product` gives the same value with less noise, since it pairs each draw of one prefix with each of the
other.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from causal_attrib.errors import InputError
from causal_attrib.interventions import Keep
from causal_attrib.scores.sequential import betting_interval

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
            NaN stands for draws that were not made; a unit is read from those that both of its prefixes have.
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
    if estimator == "product":
        return _product(*_arms(units, outcome_NH))
    terms_UH = _terms(units, outcome_NH, estimator)
    draws = terms_UH.shape[1]
    if np.isnan(terms_UH).any():
        draws_U = np.isfinite(terms_UH).sum(axis=1)
        return np.maximum(np.nanmean(terms_UH, axis=1), 0.0), np.nanstd(terms_UH, axis=1, ddof=1) / np.sqrt(draws_U)
    error_U = terms_UH.std(axis=1, ddof=1) / np.sqrt(draws) if draws > 1 else None
    return np.maximum(terms_UH.mean(axis=1), 0.0), error_U


def interval(units: Sequence[Unit], outcome_NH: np.ndarray, estimator: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Bounds (U,) of sufficiency at 95 %, valid however long was drawn (`scores.sequential`); None for the product.

    They are of what the estimator tends to as draws go on: "mean_gain" to relu(p1 - p0), "paired" to a mean of relu.
    """
    if estimator == "product":
        return None
    lowest = 0.0 if estimator == "paired" else -1.0
    low_U, high_U = betting_interval(_terms(units, outcome_NH, estimator), lowest, 1.0)
    return np.maximum(low_U, 0.0), np.maximum(high_U, 0.0)


def draws_of(units: Sequence[Unit], outcome_NH: np.ndarray) -> np.ndarray:
    """How many draws (U,) each unit is read from."""
    return np.isfinite(_arms(units, outcome_NH)[0]).sum(axis=1)


def unsettled(units: Sequence[Unit], outcome_NH: np.ndarray, estimator: str, precision: float) -> list[int]:
    """Indices of the prefixes, of a `plan`, that a unit needs whose standard error is not below `precision`."""
    _, error_U = read(units, outcome_NH, estimator)
    if error_U is None:
        return list(range(len(outcome_NH)))
    row_of = {keep.count: row for row, keep in enumerate(plan(units))}
    wanted = (unit for unit, error in zip(units, error_U, strict=True) if not error < precision)
    return sorted({row_of[bound] for unit in wanted for bound in (unit[0], unit[-1] + 1)})


def _arms(units: Sequence[Unit], outcome_NH: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Outcomes (U, H) with each unit and without it; NaN in both where one of them has none."""
    row_of = {keep.count: row for row, keep in enumerate(plan(units))}
    with_UH = outcome_NH[[row_of[unit[-1] + 1] for unit in units]]
    without_UH = outcome_NH[[row_of[unit[0]] for unit in units]]
    nothing_UH = np.isnan(with_UH) | np.isnan(without_UH)
    if nothing_UH.any():
        with_UH, without_UH = (np.where(nothing_UH, np.nan, arm_UH) for arm_UH in (with_UH, without_UH))
    return with_UH, without_UH


def _terms(units: Sequence[Unit], outcome_NH: np.ndarray, estimator: str) -> np.ndarray:
    with_UH, without_UH = _arms(units, outcome_NH)
    difference_UH = with_UH - without_UH
    return np.maximum(difference_UH, 0.0) if estimator == "paired" else difference_UH


def _product(with_UH: np.ndarray, without_UH: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """p1 * (1 - p0), and its standard error by the delta method for independent arms."""
    made_UH = np.isfinite(with_UH)
    if not np.isin([with_UH[made_UH], without_UH[made_UH]], (0.0, 1.0)).all():
        raise InputError("The estimator product is for outcomes of 0 and 1; take paired or mean_gain.")
    draws_U = made_UH.sum(1)
    p1_U, p0_U = np.nanmean(with_UH, 1), np.nanmean(without_UH, 1)
    if with_UH.shape[1] == 1:
        return p1_U * (1 - p0_U), None
    variance_1_U, variance_0_U = (p * (1 - p) / (draws_U - 1) for p in (p1_U, p0_U))
    return p1_U * (1 - p0_U), np.sqrt(variance_1_U * (1 - p0_U) ** 2 + variance_0_U * p1_U**2)

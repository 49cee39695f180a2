"""Intervals of benchmark numbers: the percentile bootstrap over clusters (Efron & Tibshirani, 1993, ch. 8 and 13).

Captions and questions about one image are no independent draws, so whole images are drawn. Every number here is a
function of sums over images (counts of mentions, of right answers), so a resample is the vector of how often each image
was drawn, times the table of its counts. Interval ends are the 2.5th and 97.5th percentile of the resamples.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from causal_attrib.errors import InputError

LEVEL = 0.95
_CELLS = 4_000_000  # draws held at a time: 32 MB

Metric = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Estimate:
    """A number with its interval. None where it is undefined (nothing to divide by) or there is but one image."""

    value: float | None
    low: float | None = None
    high: float | None = None


def ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """`numerator / denominator` in percent, NaN where there is nothing to divide by.

    >>> ratio(np.array([1.0, 0.0]), np.array([4.0, 0.0]))
    array([25., nan])
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        return 100 * (numerator / denominator)


def by_cluster(clusters: Sequence[Hashable], counts_NK: np.ndarray) -> np.ndarray:
    """Sums of N rows of K counts per cluster, [C, K], clusters in the order in which they first come."""
    places = {cluster: place for place, cluster in enumerate(dict.fromkeys(clusters))}
    sums_CK = np.zeros((len(places), counts_NK.shape[1]))
    np.add.at(sums_CK, [places[cluster] for cluster in clusters], counts_NK)
    return sums_CK


def estimate(sums_CK: np.ndarray, metrics: dict[str, Metric], *, resamples: int, seed: int) -> dict[str, Estimate]:
    """Each metric of all C clusters together, with its interval.

    A metric takes sums [..., K] and returns [...]. Resamples in which it is undefined are left out of its interval. The
    same seed draws the same clusters for every metric, so differences between them are paired.

    >>> sums_CK = np.array([[1.0, 4.0], [3.0, 4.0]])
    >>> estimate(sums_CK, {"share": lambda sums: ratio(sums[..., 0], sums[..., 1])}, resamples=200, seed=0)
    {'share': Estimate(value=50.0, low=25.0, high=75.0)}
    """
    if resamples < 100:
        raise InputError(f"{resamples} bootstrap resamples tell nothing; ask for 100 or more.")
    if seed < 0:
        raise InputError(f"A seed cannot be {seed}; give 0 or more.")
    drawn = None if len(sums_CK) < 2 else _resampled(sums_CK, resamples, np.random.default_rng(seed))
    return {name: _estimate(metric, sums_CK.sum(0), drawn) for name, metric in metrics.items()}


def _resampled(sums_CK: np.ndarray, resamples: int, rng: np.random.Generator) -> np.ndarray:
    clusters = len(sums_CK)
    shares = np.full(clusters, 1 / clusters)
    step = max(1, _CELLS // clusters)
    parts = [
        rng.multinomial(clusters, shares, size=min(step, resamples - done)) @ sums_CK
        for done in range(0, resamples, step)
    ]
    return np.concatenate(parts)


def _estimate(metric: Metric, total_K: np.ndarray, drawn_BK: np.ndarray | None) -> Estimate:
    value = float(metric(total_K))
    if np.isnan(value):
        return Estimate(None)
    if drawn_BK is None:
        return Estimate(value)
    values_B = metric(drawn_BK)
    low, high = np.nanquantile(values_B, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(value, float(low), float(high))

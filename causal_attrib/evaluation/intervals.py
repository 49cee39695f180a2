"""Intervals of benchmark numbers: the percentile bootstrap over clusters (Efron & Tibshirani, 1993, ch. 8 and 13).

Captions and questions about one image are no independent draws, so whole images are drawn. Every number here is a
function of sums over images (counts of mentions, of right answers), so a resample is the vector of how often each image
was drawn, times the table of its counts. Interval ends are the 2.5th and 97.5th percentile of the resamples.

Where all images agree, every resample does too, and the bootstrap would say "0.00 [0.00, 0.00]" of five images. There a
`Bounded` number gets the exact limits of Clopper & Pearson (1934, "The use of confidence or fiducial limits illustrated
in the case of the binomial"): where n images agree, n draws may well have missed a share u = 1 - .025^(1/n) of all
images, which would differ as much as they can. For a share of 0 the interval is [0, u], for one of 1 it is [1 - u, 1],
and for a difference of -1, which can be as much as 1, it is [-1, 2 u - 1].
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral

import numpy as np

from causal_attrib.errors import InputError

LEVEL = 0.95
# Resamples: with fewer the ends are noise; with more nothing is won, and 2,000 images would take gigabytes.
FEWEST_RESAMPLES, MOST_RESAMPLES = 100, 100_000
# Images from which a conclusion is drawn at all.
ENOUGH = 10
_CELLS = 4_000_000  # draws held at a time: 32 MB

# From sums [..., K] to numbers [...].
Metric = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Estimate:
    """A number with its interval. None where it is undefined (nothing to divide by) or there is but one image."""

    value: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Bounded:
    """A metric that cannot leave [least, most]; a share in percent unless said otherwise.

    trials: how many independent draws stand behind it where all agree; None: the clusters in which it is defined
    """

    metric: Metric
    least: float = 0.0
    most: float = 100.0
    trials: int | None = None

    def __call__(self, sums: np.ndarray) -> np.ndarray:
        return self.metric(sums)


def share(hit: int, of: int) -> Bounded:
    """The share in percent that column `hit` of the sums makes of column `of`."""
    return Bounded(lambda sums: ratio(sums[..., hit], sums[..., of]))


def ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """`numerator / denominator` in percent, NaN where there is nothing to divide by.

    >>> ratio(np.array([1.0, 0.0]), np.array([4.0, 0.0]))
    array([25., nan])
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        return 100 * (numerator / denominator)


def by_cluster(clusters: Sequence[Hashable], counts_NK: np.ndarray) -> np.ndarray:
    """Sums of N rows of K counts per cluster, [C, K], clusters in the order in which they first come."""
    row_of = {cluster: row for row, cluster in enumerate(dict.fromkeys(clusters))}
    sums_CK = np.zeros((len(row_of), counts_NK.shape[1]))
    np.add.at(sums_CK, [row_of[cluster] for cluster in clusters], counts_NK)
    return sums_CK


def check_draws(*, resamples: int, seed: int) -> None:
    """Raise an `InputError` for what intervals cannot be made of; call it before the work."""
    if not isinstance(resamples, Integral) or not isinstance(seed, Integral):
        raise InputError(
            f"{resamples!r:.40} resamples of seed {seed!r:.40} cannot be drawn; give whole numbers of both."
        )
    if resamples < FEWEST_RESAMPLES:
        raise InputError(f"{resamples} bootstrap resamples tell nothing; ask for {FEWEST_RESAMPLES} or more.")
    if resamples > MOST_RESAMPLES:
        raise InputError(
            f"More than {MOST_RESAMPLES:,} bootstrap resamples take memory and tell no more; ask for fewer."
        )
    if seed < 0:
        raise InputError(f"A seed cannot be {seed}; give 0 or more.")


def few_notes(images: int) -> list[str]:
    """What is to be said of results that rest on too few images for a conclusion."""
    if images >= ENOUGH:
        return []
    return [f"too few images for a conclusion ({images}); take {ENOUGH} or more, and a hundred for narrow intervals."]


def estimate(sums_CK: np.ndarray, metrics: Mapping[str, Metric], *, resamples: int, seed: int) -> dict[str, Estimate]:
    """Each metric of all C clusters together, with its interval.

    A metric takes sums [..., K] and returns [...]. Resamples in which it is undefined are left out of its interval. The
    same seed draws the same clusters for every metric, so differences between them are paired.

    >>> sums_CK = np.array([[1.0, 4.0], [3.0, 4.0]])
    >>> estimate(sums_CK, {"share": share(0, 1)}, resamples=200, seed=0)
    {'share': Estimate(value=50.0, low=25.0, high=75.0)}
    """
    check_draws(resamples=resamples, seed=seed)
    drawn = None if len(sums_CK) < 2 else _resampled(sums_CK, resamples, np.random.default_rng(seed))
    return {name: _estimate(metric, sums_CK, drawn) for name, metric in metrics.items()}


def _resampled(sums_CK: np.ndarray, resamples: int, rng: np.random.Generator) -> np.ndarray:
    clusters = len(sums_CK)
    shares = np.full(clusters, 1 / clusters)
    step = max(1, _CELLS // clusters)
    parts = [
        rng.multinomial(clusters, shares, size=min(step, resamples - done)) @ sums_CK
        for done in range(0, resamples, step)
    ]
    return np.concatenate(parts)


def _estimate(metric: Metric, sums_CK: np.ndarray, drawn_BK: np.ndarray | None) -> Estimate:
    value = float(metric(sums_CK.sum(0)))
    if np.isnan(value):
        return Estimate(None)
    if drawn_BK is None:
        return Estimate(value)
    low, high = np.nanquantile(metric(drawn_BK), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    if low == high and isinstance(metric, Bounded):
        low, high = _where_all_agree(metric, value, sums_CK)
    return Estimate(value, float(low), float(high))


def _where_all_agree(metric: Bounded, value: float, sums_CK: np.ndarray) -> tuple[float, float]:
    """Clopper & Pearson's limits, for a value that every cluster has."""
    trials = metric.trials
    if trials is None:
        trials = int(np.isfinite(metric(sums_CK)).sum())
    missed = 1 - ((1 - LEVEL) / 2) ** (1 / max(trials, 1))
    return value - missed * (value - metric.least), value + missed * (metric.most - value)

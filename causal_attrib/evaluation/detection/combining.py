"""Signals together: logistic regressions that are judged on images which they have not seen.

Images are dealt to five folds. Every probability is from a fit on the other four. The base rate of a word, which comes
from labels, is taken anew for each fold: of a unit that is fitted on, from the other images of the fit; of a unit that
is judged, from the images of the fit. Nothing of a judged image is in any of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from causal_attrib.evaluation.detection import ranking
from causal_attrib.evaluation.detection.columns import BASE_RATE
from causal_attrib.evaluation.intervals import Estimate, by_cluster, estimate

FOLDS = 5
# Forward selection ends where no signal adds so much AUROC (from 0 to 1), or with so many.
LEAST, MOST = 0.005, 6
# Weights of the penalty on standardised signals: 1 is a normal prior of unit variance.
RIDGES = (1.0, 10.0, 100.0, 1000.0)
# Directions of the hidden states that a probe reads, and the weight of its penalty.
DIRECTIONS, RIDGE = 32, 100.0


@dataclass(frozen=True)
class Units:
    """What a fit reads.

    features: (N,) of each signal by name, without the base rate
    false_N, image_N, class_N: whether a unit is hallucinated, the number of its image, and its word
    """

    features: dict[str, np.ndarray]
    false_N: np.ndarray
    image_N: np.ndarray
    class_N: np.ndarray

    @property
    def fold_N(self) -> np.ndarray:
        return self.image_N % FOLDS

    def __getitem__(self, some_N: np.ndarray) -> Units:
        features = {name: values[some_N] for name, values in self.features.items()}
        # Numbered anew, so that folds within them are of equal size.
        _, image_N = np.unique(self.image_N[some_N], return_inverse=True)
        return Units(features, self.false_N[some_N], image_N, self.class_N[some_N])


def enough(units: Units) -> bool:
    """Whether every fit of the cross-validation has both sorts, and so have all folds together."""
    if len(np.unique(units.image_N)) < FOLDS:
        return False
    seen = [units.false_N[units.fold_N != fold] for fold in range(FOLDS)]
    return all(0 < some.sum() < len(some) for some in seen)


def base_rate(units: Units) -> np.ndarray:
    """Share of a word's units in other images that are true; where there are none, that of all words there (N,)."""
    _, class_N = np.unique(units.class_N, return_inverse=True)
    _, image_N = np.unique(units.image_N, return_inverse=True)
    true_CI, all_CI = np.zeros((2, class_N.max() + 1, image_N.max() + 1))
    np.add.at(all_CI, (class_N, image_N), 1)
    np.add.at(true_CI, (class_N, image_N), ~units.false_N)
    of_word_N, true_N = (cells[class_N].sum(-1) - cells[class_N, image_N] for cells in (all_CI, true_CI))
    others_N, true_others_N = (cells.sum() - cells.sum(0)[image_N] for cells in (all_CI, true_CI))
    overall_N = np.divide(true_others_N, others_N, out=np.full(len(class_N), 0.5), where=others_N > 0)
    return np.divide(true_N, of_word_N, out=overall_N, where=of_word_N > 0)


def _rate_from(seen: Units, class_N: np.ndarray) -> np.ndarray:
    """Of judged units, from those of the fit."""
    overall = 1 - seen.false_N.mean()
    rate_of = {word: 1 - seen.false_N[seen.class_N == word].mean() for word in np.unique(seen.class_N)}
    return np.array([rate_of.get(word, overall) for word in class_N])


def judged(units: Units, names: Sequence[str], ridge: float | None = None) -> np.ndarray:
    """Probability (N,) that each unit is false, by a logistic regression on signals that has not seen its image.

    Args:
        ridge: weight of the penalty; None: of `RIDGES` that with the least log loss when the images of a fit are
            themselves crossed.
    """
    p_N = np.empty(len(units.false_N))
    for fold in range(FOLDS):
        held_N = units.fold_N == fold
        if held_N.any():
            p_N[held_N] = _fitted(units[~held_N], units[held_N], names, ridge)
    return p_N


def _fitted(seen: Units, held: Units, names: Sequence[str], ridge: float | None) -> np.ndarray:
    if not names:
        return np.full(len(held.false_N), seen.false_N.mean())
    if ridge is None:
        ridge = min(RIDGES, key=lambda one: _log_loss(seen.false_N, judged(seen, names, one))) if enough(seen) else 1.0
    seen_NF, held_MF = _matrix(seen, None, names), _matrix(held, seen, names)
    # In units of their spread in the fit: `fit_logistic` standardises too, but solves for raw weights.
    mean_F, scale_F = seen_NF.mean(0), seen_NF.std(0)
    scale_F = np.where(scale_F > 0, scale_F, 1.0)
    intercept, weight_F = _fit((seen_NF - mean_F) / scale_F, seen.false_N, ridge)
    return np.exp(-np.logaddexp(0.0, -(intercept + (held_MF - mean_F) / scale_F @ weight_F)))


def _fit(features_NF: np.ndarray, false_N: np.ndarray, ridge: float) -> tuple[float, np.ndarray]:
    # Imports torch, which whoever checks files need not wait for.
    from causal_attrib.evaluation.verdict.fit import fit_logistic

    return fit_logistic(features_NF, false_N, ridge)


def _log_loss(false_N: np.ndarray, p_N: np.ndarray) -> float:
    return float(-np.log(np.clip(np.where(false_N, p_N, 1 - p_N), 1e-12, None)).mean())


def _matrix(units: Units, seen: Units | None, names: Sequence[str]) -> np.ndarray:
    def column(name: str) -> np.ndarray:
        if name != BASE_RATE:
            return units.features[name]
        return base_rate(units) if seen is None else _rate_from(seen, units.class_N)

    return np.column_stack([column(name) for name in names])


@dataclass(frozen=True)
class Step:
    """A signal that forward selection added, and the cross-validated AUROC in percent with it."""

    signal: str
    auroc: float


def selected(units: Units, candidates: Sequence[str]) -> list[Step]:
    """Forward selection: again and again the signal with which the cross-validated AUROC is largest."""
    steps: list[Step] = []
    best, left = 0.5, list(candidates)
    while left and len(steps) < MOST and enough(units):
        so_far = [step.signal for step in steps]
        values = [ranking.of("auroc", units.false_N, judged(units, [*so_far, name], 1.0)) for name in left]
        place = int(np.nanargmax(values))
        if values[place] < best + LEAST:
            break
        best = values[place]
        steps.append(Step(left.pop(place), 100 * best))
    return steps


def nested(units: Units, candidates: Sequence[str]) -> tuple[np.ndarray, list[list[str]]]:
    """Probabilities (N,) where each fold's signals were selected without it, and which these were."""
    p_N, chosen = np.empty(len(units.false_N)), []
    for fold in range(FOLDS):
        held_N = units.fold_N == fold
        if held_N.any():
            seen = units[~held_N]
            names = [step.signal for step in selected(seen, candidates)]
            p_N[held_N] = _fitted(seen, units[held_N], names, 1.0)
            chosen.append(names)
    return p_N, chosen


def probed(hidden_ND: np.ndarray, units: Units) -> np.ndarray:
    """Probability (N,) by a probe on hidden states: their first principal components in the fit, then the logistic."""
    p_N = np.empty(len(units.false_N))
    for fold in range(FOLDS):
        held_N = units.fold_N == fold
        if not held_N.any():
            continue
        seen_ND = hidden_ND[~held_N]
        mean_D, scale_D = seen_ND.mean(0), seen_ND.std(0)
        scale_D = np.where(scale_D > 0, scale_D, 1.0)
        seen_ND = (seen_ND - mean_D) / scale_D
        # Of the matrix of products, which is small where states are wide; in rising order.
        square_N, left_NN = np.linalg.eigh(seen_ND @ seen_ND.T)
        # Directions that hold nothing but rounding are none.
        count = min(DIRECTIONS, int((square_N > 1e-8 * square_N[-1]).sum()), max(1, len(seen_ND) // 5))
        square_K, left_NK = square_N[::-1][:count], left_NN[:, ::-1][:, :count]
        # To unit variance in the fit.
        axes_DK = seen_ND.T @ left_NK / np.maximum(square_K, 1e-30) * np.sqrt(len(seen_ND))
        intercept, weight_K = _fit(seen_ND @ axes_DK, units.false_N[~held_N], RIDGE)
        score_M = intercept + (hidden_ND[held_N] - mean_D) / scale_D @ axes_DK @ weight_K
        p_N[held_N] = np.exp(-np.logaddexp(0.0, -score_M))
    return p_N


def calibration(p_N: np.ndarray, units: Units, *, resamples: int, seed: int) -> Estimate:
    """Expected calibration error in percent (`evaluation.verdict.scores`), with its interval over images."""
    from causal_attrib.evaluation.verdict.scores import BINS

    place_N = np.minimum((p_N * BINS).astype(int), BINS - 1)
    cells_N3M = np.zeros((len(p_N), 3, BINS))
    for row, values_N in enumerate((np.ones(len(p_N)), units.false_N, p_N)):
        cells_N3M[np.arange(len(p_N)), row, place_N] = values_N

    def error(sums: np.ndarray) -> np.ndarray:
        count, false, stated = np.split(sums, 3, axis=-1)
        return 100 * np.abs(false - stated).sum(-1) / count.sum(-1)

    sums_CK = by_cluster(units.image_N.tolist(), cells_N3M.reshape(len(p_N), -1))
    return estimate(sums_CK, {"ece": error}, resamples=resamples, seed=seed)["ece"]


def spearman(columns: dict[str, np.ndarray]) -> dict[str, dict[str, float | None]]:
    """Rank correlation of every pair of signals, ties at their mean rank; None where a signal does not vary.

    >>> spearman({"a": np.array([1.0, 2.0, 9.0]), "b": np.array([3.0, 2.0, 1.0])})["a"]
    {'a': 1.0, 'b': -1.0}
    """
    import pandas as pd

    table = pd.DataFrame(columns).rank().corr()
    return {
        str(name): {str(other): None if np.isnan(value) else round(float(value), 6) for other, value in row.items()}
        for name, row in table.to_dict(orient="index").items()
    }

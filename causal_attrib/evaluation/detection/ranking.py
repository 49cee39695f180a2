"""How well a score puts hallucinated units above true ones; a unit is a mention of an object, or a word.

    AUROC   probability that a false unit has a higher score than a true one, ties counted half (the Mann-Whitney
            statistic; Hanley & McNeil, 1982)
    AUPRC   average precision: sum over thresholds of (recall - recall before) * precision, ties in one step (no
            interpolation; Davis & Goadrich, 2006, on why none)
    FPR95   the share of true units at or above the highest threshold that at least 95 % of the false ones reach
    within  AUROC within the same word: pairs of a false and a true unit of one class only, so that a class that is
            always there can win nothing. It is the mean of the classes' AUROCs weighted by their numbers of pairs

Each takes weights [B, N], how often the image of a unit was drawn in each of B resamples, and gives [B].
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from causal_attrib.evaluation.intervals import Bounded, Estimate, estimate

RECALL = 0.95
# Weights held at a time: 32 MB.
_CELLS = 4_000_000

# From the weights of false and of true units at each distinct score, [B, R], lowest score first, to [B].
Metric = Callable[[np.ndarray, np.ndarray], np.ndarray]


def auroc(false_BR: np.ndarray, true_BR: np.ndarray) -> np.ndarray:
    """NaN where one sort is missing.

    >>> auroc(np.array([[0.0, 1.0]]), np.array([[1.0, 1.0]]))
    array([0.75])
    """
    return _divided(_won(false_BR, true_BR), false_BR.sum(-1) * true_BR.sum(-1))


def average_precision(false_BR: np.ndarray, true_BR: np.ndarray) -> np.ndarray:
    """NaN where one sort is missing.

    >>> average_precision(np.array([[1.0, 0.0, 1.0]]), np.array([[0.0, 1.0, 0.0]])).round(4)
    array([0.8333])
    """
    down_BR = false_BR[:, ::-1]
    found_BR, alarms_BR = down_BR.cumsum(-1), true_BR[:, ::-1].cumsum(-1)
    precision_BR = np.divide(found_BR, found_BR + alarms_BR, out=np.zeros_like(found_BR), where=found_BR > 0)
    both_B = np.where(true_BR.sum(-1) > 0, false_BR.sum(-1), 0.0)
    return _divided((down_BR * precision_BR).sum(-1), both_B)


def false_positive_rate(false_BR: np.ndarray, true_BR: np.ndarray) -> np.ndarray:
    """At 95 % recall; NaN where one sort is missing.

    >>> false_positive_rate(np.array([[0.0, 1.0, 0.0, 1.0]]), np.array([[1.0, 0.0, 1.0, 0.0]]))
    array([0.5])
    """
    found_BR = false_BR[:, ::-1].cumsum(-1)
    alarms_BR = true_BR[:, ::-1].cumsum(-1)
    # Sums of whole numbers are exact; 0.95 is not.
    enough_BR = found_BR >= RECALL * found_BR[:, -1:] - 1e-9
    at_B = enough_BR.argmax(-1)
    total_B = np.where(found_BR[:, -1] > 0, alarms_BR[:, -1], 0.0)
    return _divided(np.take_along_axis(alarms_BR, at_B[:, None], -1)[:, 0], total_B)


METRICS: dict[str, Metric] = {"auroc": auroc, "auprc": average_precision, "fpr95": false_positive_rate}


def of(metric: str, false_N: np.ndarray, score_N: np.ndarray) -> float:
    """A metric of METRICS from 0 to 1, every unit counted once.

    >>> of("auroc", np.array([True, False, False]), np.array([0.5, 0.5, 0.1]))
    0.75
    """
    if not len(score_N):
        return float("nan")
    return float(METRICS[metric](*_at_scores(false_N, score_N, np.ones((1, len(score_N)))))[0])


def within_words(false_N: np.ndarray, score_N: np.ndarray, class_N: np.ndarray) -> float:
    """AUROC within the same word; NaN where no class has both sorts.

    >>> within_words(
    ...     np.array([True, False, True, False, False]), np.array([2, 1, 1, 2, 2]), np.array(["a", "a", "b", "b", "b"])
    ... ).__round__(4)
    0.3333
    """
    return float(_within(false_N, score_N, class_N, np.ones((1, len(score_N))))[0])


def intervals(
    names: Sequence[str],
    false_N: np.ndarray,
    score_N: np.ndarray,
    image_N: np.ndarray,
    *,
    class_N: np.ndarray | None = None,
    resamples: int,
    seed: int,
) -> dict[str, Estimate]:
    """Metrics in percent, with 95 % intervals over images.

    Args:
        names: of METRICS, or "within".
        class_N: for "within".
    """
    if not len(score_N):
        return {name: Estimate(None) for name in names}
    images, place_N = np.unique(image_N, return_inverse=True)
    # So many pairs of a false and a true unit can be of images that no other pair has.
    trials = min(len(np.unique(place_N[some_N])) for some_N in (false_N, ~false_N))

    def metric(name: str) -> Bounded:
        def of_draws(times: np.ndarray) -> np.ndarray:
            """From how often each image was drawn: none of these is a function of sums over images."""
            times_BC = np.atleast_2d(times)
            step = max(1, _CELLS // len(score_N))
            parts = [
                _measured(name, false_N, score_N, class_N, times_BC[start : start + step][:, place_N])
                for start in range(0, len(times_BC), step)
            ]
            values_B = 100 * np.concatenate(parts)
            return values_B if times.ndim > 1 else values_B[0]

        return Bounded(of_draws, trials=trials)

    return estimate(np.eye(len(images)), {name: metric(name) for name in names}, resamples=resamples, seed=seed)


def _measured(
    name: str, false_N: np.ndarray, score_N: np.ndarray, class_N: np.ndarray | None, weight_BN: np.ndarray
) -> np.ndarray:
    if name == "within":
        assert class_N is not None
        return _within(false_N, score_N, class_N, weight_BN)
    return METRICS[name](*_at_scores(false_N, score_N, weight_BN))


def _within(false_N: np.ndarray, score_N: np.ndarray, class_N: np.ndarray, weight_BN: np.ndarray) -> np.ndarray:
    won_B, pairs_B = np.zeros(len(weight_BN)), np.zeros(len(weight_BN))
    for one in np.unique(class_N):
        of_class = class_N == one
        if 0 < false_N[of_class].sum() < of_class.sum():
            cells = _at_scores(false_N[of_class], score_N[of_class], weight_BN[:, of_class])
            won_B += _won(*cells)
            pairs_B += cells[0].sum(-1) * cells[1].sum(-1)
    return _divided(won_B, pairs_B)


def _at_scores(false_N: np.ndarray, score_N: np.ndarray, weight_BN: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights of false and of true units at each distinct score, lowest first."""
    order_N = np.argsort(score_N, kind="stable")
    ordered_N = score_N[order_N]
    starts_R = np.flatnonzero(np.r_[True, ordered_N[1:] != ordered_N[:-1]])
    weight_BN, is_false_N = weight_BN[:, order_N], false_N[order_N]
    false_BR, true_BR = (np.add.reduceat(weight_BN * some_N, starts_R, axis=1) for some_N in (is_false_N, ~is_false_N))
    return false_BR, true_BR


def _won(false_BR: np.ndarray, true_BR: np.ndarray) -> np.ndarray:
    return (false_BR * (true_BR.cumsum(-1) - true_BR / 2)).sum(-1)


def _divided(numerator_B: np.ndarray, denominator_B: np.ndarray) -> np.ndarray:
    nothing = np.full(len(numerator_B), np.nan)
    return np.divide(numerator_B, denominator_B, out=nothing, where=denominator_B > 0)

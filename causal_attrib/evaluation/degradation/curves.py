"""From what was written to curves, and to the confidence trap: a model that gets surer while it gets worse.

The trap is HERO's ("Dynamic Entropy-Aware Reinforcement Learning"): entropy falls while accuracy falls. Our rules for a
mode and a degradation look at the changes of accuracy and of mean entropy from severity 0 to the worst, with 95 %
bootstrap intervals that draw images, so that each change is of the same images:

    trap        both are below 0 with their whole intervals
    no warning  accuracy is, and entropy is not above 0 with its whole interval: it does not tell that accuracy fell

Of fewer than `intervals.ENOUGH` images neither is said.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from causal_attrib.evaluation.degradation.pictures import KINDS, STRENGTHS, WORST
from causal_attrib.evaluation.degradation.study import MODES
from causal_attrib.evaluation.intervals import ENOUGH, Bounded, Estimate, Metric, by_cluster, estimate
from causal_attrib.evaluation.results import interval_columns


@dataclass(frozen=True)
class CurveChange:
    """What the worst severity changed: accuracy in percentage points, entropy in nats; and what rule that meets."""

    mode: str
    degradation: str
    accuracy: Estimate
    entropy: Estimate
    is_trap: bool
    no_warning: bool


def curves(texts: pd.DataFrame, *, resamples: int = 1000, seed: int = 0) -> pd.DataFrame:
    """Accuracy (percent) and entropy (nats) with intervals for each mode, degradation and severity of `study`."""
    rows = []
    for mode, kind, part in _parts(texts):
        for severity, alike in part.groupby("severity"):
            found = estimate(_sums(alike), _METRICS, resamples=resamples, seed=seed)
            row = {"mode": mode, "degradation": kind, "severity": int(severity)}
            row["strength"] = STRENGTHS[kind][severity - 1] if severity else None
            row |= {"texts": len(alike), "images": alike.image.nunique()}
            for name, number in found.items():
                row |= interval_columns(name, number)
            rows.append(row)
    numbers = [f"{name}{end}" for name in _METRICS for end in ("", "_low", "_high")]
    return pd.DataFrame(rows).astype(dict.fromkeys(["strength", *numbers], float))


def changes(texts: pd.DataFrame, *, resamples: int = 1000, seed: int = 0) -> list[CurveChange]:
    """The change from severity 0 to the worst for each mode and degradation, by the rule above."""
    found = []
    for mode, kind, part in _parts(texts):
        images = list(dict.fromkeys(part.image))
        both = [_sums(part[part.severity == severity], images) for severity in (0, WORST)]
        metrics: dict[str, Metric] = {
            "accuracy": Bounded(_difference(_accuracy), least=-100.0),
            "entropy": _difference(_entropy),
        }
        change = estimate(np.concatenate(both, axis=1), metrics, resamples=resamples, seed=seed)
        accuracy, entropy = change["accuracy"], change["entropy"]
        worse = len(images) >= ENOUGH and _falls(accuracy)
        is_trap = worse and _falls(entropy)
        silent = worse and not is_trap and entropy.low is not None and entropy.low <= 0
        found.append(CurveChange(mode, kind, accuracy, entropy, is_trap, silent))
    return found


def records(curves: pd.DataFrame) -> list[dict]:
    """The rows of `curves` as JSON holds them: what is not known is None."""
    return curves.astype(object).where(curves.notna(), None).to_dict("records")


def _falls(change: Estimate) -> bool:
    return change.high is not None and change.high < 0


def _parts(texts: pd.DataFrame) -> Iterator[tuple[str, str, pd.DataFrame]]:
    for mode in MODES:
        for kind in KINDS:
            part = texts[(texts["mode"] == mode) & (texts.degradation == kind)]
            if len(part):
                yield mode, kind, part


def _sums(texts: pd.DataFrame, images: list[str] | None = None) -> np.ndarray:
    """Per image: texts, right ones, texts with an entropy, sum of entropies; [C, 4]."""
    has_entropy = texts.entropy.notna()
    counts_NK = np.column_stack([np.ones(len(texts)), texts.right, has_entropy, texts.entropy.fillna(0.0)])
    if images is None:
        return by_cluster(list(texts.image), counts_NK)
    # All images have a row, in the same order, so that two severities can be put side by side.
    empty = np.zeros((len(images), counts_NK.shape[1]))
    return by_cluster([*images, *texts.image], np.concatenate([empty, counts_NK]))


def _accuracy(sums: np.ndarray) -> np.ndarray:
    return 100 * _over(sums[..., 1], sums[..., 0])


def _entropy(sums: np.ndarray) -> np.ndarray:
    return _over(sums[..., 3], sums[..., 2])


def _over(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore", divide="ignore"):
        return numerator / denominator


_METRICS: dict[str, Metric] = {"accuracy": Bounded(_accuracy), "entropy": _entropy}


def _difference(metric: Metric) -> Metric:
    return lambda sums: metric(sums[..., 4:]) - metric(sums[..., :4])

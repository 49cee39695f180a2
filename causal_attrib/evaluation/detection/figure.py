"""ROC and PR curves of the best signals, and the reliability diagram of the fitted combination."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from causal_attrib.errors import InputError
from causal_attrib.io.atomic import check_writable, replacing

# Okabe & Ito (2008), which stay apart for the colour-blind; lines differ as well.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_LINES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (1, 1)))
FORMATS = (".png", ".pdf")
BINS = 10


def check_curves(path: str | os.PathLike[str]) -> None:
    """Raise an `InputError` for a file that curves cannot be drawn to."""
    if Path(path).suffix.lower() not in FORMATS:
        raise InputError(f"Curves are drawn to PNG or PDF; end {path} in .png or .pdf.")
    check_writable(path)


def curves(false_N: np.ndarray, score_N: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """False-positive rate, recall and precision (R,) at each distinct score, highest first."""
    order_N = np.argsort(-score_N, kind="stable")
    last_R = np.flatnonzero(np.r_[np.diff(score_N[order_N]) != 0, True])
    found_R, alarms_R = false_N[order_N].cumsum()[last_R], (~false_N[order_N]).cumsum()[last_R]
    return alarms_R / max((~false_N).sum(), 1), found_R / max(false_N.sum(), 1), found_R / (found_R + alarms_R)


def draw(
    path: str | os.PathLike[str], false_N: np.ndarray, scores: Mapping[str, np.ndarray], p_N: np.ndarray | None
) -> None:
    """Write the figure.

    Args:
        scores: (N,) of each signal to draw, higher = more likely hallucinated; six at most.
        p_N: probabilities of the fitted combination.
    """
    from matplotlib.figure import Figure

    plot = Figure(figsize=(9.6, 3.4))
    plot.subplots_adjust(0.06, 0.15, 0.98, 0.92, wspace=0.28)
    roc, pr, reliability = plot.subplots(1, 3)
    for (name, score_N), colour, line in zip(scores.items(), _COLOURS, _LINES, strict=False):
        fpr_R, recall_R, precision_R = curves(false_N, score_N)
        roc.plot(np.r_[0, fpr_R], np.r_[0, recall_R], color=colour, linestyle=line, label=name)
        pr.step(np.r_[0, recall_R], np.r_[precision_R[0], precision_R], where="pre", color=colour, linestyle=line)
    roc.plot([0, 1], [0, 1], color="0.7", linewidth=0.8)
    pr.axhline(false_N.mean(), color="0.7", linewidth=0.8)
    reliability.plot([0, 1], [0, 1], color="0.7", linewidth=0.8)
    if p_N is not None:
        place_N = np.minimum((p_N * BINS).astype(int), BINS - 1)
        filled = [place for place in range(BINS) if (place_N == place).any()]
        stated = [p_N[place_N == place].mean() for place in filled]
        reliability.plot(stated, [false_N[place_N == place].mean() for place in filled], "o-", color=_COLOURS[0])
        for x, place in zip(stated, filled, strict=True):
            reliability.annotate(str((place_N == place).sum()), (x, 0.02), fontsize=6, ha="center")
    for axes, title, x, y in (
        (roc, "ROC", "true units called false", "false units found"),
        (pr, "precision and recall", "false units found", "precision"),
        (reliability, "combination: stated and actual", "stated probability", "share that is false"),
    ):
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        axes.set_title(title, fontsize=9)
        axes.set_xlabel(x, fontsize=8)
        axes.set_ylabel(y, fontsize=8)
        axes.tick_params(labelsize=7)
    roc.legend(fontsize=6, loc="lower right")
    kind = Path(path).suffix.lower()[1:]
    # No date or version, so that the same numbers are the same bytes.
    metadata = {"Software": None} if kind == "png" else {"CreationDate": None, "Producer": None, "Creator": None}
    with replacing(path) as file:
        plot.savefig(file, format=kind, dpi=150, metadata=metadata)

"""How much of an answer's saliency lies on the background: the study behind COPO's claim about shortcuts.

COPO (arXiv 2508.04182v2) holds that a model which sees the picture leans on the background, more than a language model
does that reads a description in its place, whether its answer is right or wrong. The measure is our reconstruction. For
what stands for the picture, v_j (image tokens where they enter the language model, or the tokens of the description):

    s_j = || d log p(Y) / d v_j ||_2   or   | <v_j, d log p(Y) / d v_j> |        Y: all tokens of the model's own answer
    share   = sum of s_j outside the object / sum of s_j                          in [0, 1]
    density = share / share of the tokens that lie outside                        1: no preference for either

An image token that shows any part of the object is the object's, and so is a token with a character of a phrase that
names it. Image tokens that stand for no part of the picture (newlines, class tokens) count nowhere.

Axes: N tokens, H and W of the picture, C images.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from causal_attrib.evaluation.intervals import Estimate, by_cluster, estimate, ratio

if TYPE_CHECKING:
    from causal_attrib.vlm.layout import Box

ARMS = ("image", "text")
SPLITS = ("all", "right", "wrong")


@dataclass(frozen=True)
class Share:
    """How the saliency of one answer falls on the background.

    share: of the saliency, in [0, 1]
    area:  share of the tokens that are background, in (0, 1)
    """

    share: float
    area: float

    @property
    def density(self) -> float:
        """share / area: 1 without any preference; at most 1 / area."""
        return self.share / self.area


@dataclass(frozen=True)
class Measured:
    """One question put to one arm: "image" saw the picture, "text" read its description."""

    arm: str
    image: str
    question: str
    reply: str
    right: bool
    background: Share


@dataclass(frozen=True)
class BackgroundScores:
    """One arm on one split of its answers; share and density in percent (density 100: no preference)."""

    arm: str
    split: str
    answers: int
    images: int
    share: Estimate
    density: Estimate


@dataclass(frozen=True)
class BackgroundDifference:
    """Arm "image" less arm "text" on one split, in percentage points; the same images are drawn for both."""

    split: str
    share: Estimate
    density: Estimate


def background_share(saliency_N: np.ndarray, outside_N: np.ndarray) -> Share | None:
    """Share of the saliency that lies outside the object.

    Args:
        saliency_N: s_j, 0 or more.
        outside_N: True for tokens of the background.

    Returns:
        None where there is nothing to compare: all tokens on one side, or no saliency at all.

    >>> found = background_share(np.array([1.0, 2.0, 5.0, 0.0]), np.array([True, True, False, True]))
    >>> found.share, found.area, found.density
    (0.375, 0.75, 0.5)
    """
    total = saliency_N.sum()
    if not total > 0 or outside_N.all() or not outside_N.any():
        return None
    return Share(float(saliency_N[outside_N].sum() / total), float(outside_N.mean()))


def outside_mask(boxes: Sequence[Box], mask_HW: np.ndarray) -> np.ndarray:
    """Which boxes (fractions of the picture) show nothing of a mask, (N,).

    >>> mask_HW = np.zeros((4, 4), dtype=bool)
    >>> mask_HW[1, 1] = True
    >>> outside_mask([(0, 0, 0.5, 0.5), (0.5, 0, 1, 0.5), (0.25, 0.25, 0.5, 0.5), (0, 0.5, 1, 1)], mask_HW)
    array([False,  True, False,  True])
    """
    height, width = mask_HW.shape
    # An edge that lies on a border between pixels must not take in the next one by rounding.
    return np.array(
        [
            not mask_HW[
                math.floor(top * height + 1e-6) : math.ceil(bottom * height - 1e-6),
                math.floor(left * width + 1e-6) : math.ceil(right * width - 1e-6),
            ].any()
            for left, top, right, bottom in boxes
        ]
    )


def score(measured: Sequence[Measured], *, resamples: int = 1000, seed: int = 0) -> list[BackgroundScores]:
    """Means over the answers of each arm and split that has any, with intervals over images."""
    return [
        BackgroundScores(
            arm,
            split,
            answers=len(chosen),
            images=len({answer.image for answer in chosen}),
            **estimate(
                by_cluster([answer.image for answer in chosen], np.array([_counts(answer) for answer in chosen])),
                {"share": lambda sums: _mean(sums, 1), "density": lambda sums: _mean(sums, 2)},
                resamples=resamples,
                seed=seed,
            ),
        )
        for arm in ARMS
        for split in SPLITS
        if (chosen := [answer for answer in measured if answer.arm == arm and _is_in(answer, split)])
    ]


def differences(measured: Sequence[Measured], *, resamples: int = 1000, seed: int = 0) -> list[BackgroundDifference]:
    """The image arm less the text arm, for each split that both have.

    "all" compares the same questions, but for those left out of an arm; "right" and "wrong" those that each arm got
    right or wrong.
    """
    found = []
    for split in SPLITS:
        chosen = [answer for answer in measured if _is_in(answer, split)]
        if {answer.arm for answer in chosen} != set(ARMS):
            continue
        counts_NK = np.zeros((len(chosen), 6))
        for row, answer in zip(counts_NK, chosen, strict=True):
            at = 3 * ARMS.index(answer.arm)
            row[at : at + 3] = _counts(answer)
        metrics = {
            "share": lambda sums: _mean(sums, 1) - _mean(sums, 4, 3),
            "density": lambda sums: _mean(sums, 2) - _mean(sums, 5, 3),
        }
        sums_CK = by_cluster([answer.image for answer in chosen], counts_NK)
        found.append(BackgroundDifference(split, **estimate(sums_CK, metrics, resamples=resamples, seed=seed)))
    return found


def _is_in(answer: Measured, split: str) -> bool:
    return split == "all" or answer.right == (split == "right")


def _counts(answer: Measured) -> tuple[float, float, float]:
    return 1.0, answer.background.share, answer.background.density


def _mean(sums: np.ndarray, column: int, count: int = 0) -> np.ndarray:
    return ratio(sums[..., column], sums[..., count])

"""Units put together: does a claim, a sentence, a caption hold anything that is hallucinated?

    claim      units in a row with nothing but spaces or hyphens between them ("red frisbee")
    sentence   up to a full stop, an exclamation or question mark, or a line break
    caption    all of it

A group is hallucinated if one of its units is; its score is the largest of theirs (max) or their mean.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd

from causal_attrib.evaluation.detection import ranking
from causal_attrib.evaluation.intervals import Estimate

LEVELS = ("claim", "sentence", "caption")
_END = re.compile(r"[.!?]+(?=\s)|\n+")
_NOTHING = re.compile(r"[\s-]*")


@dataclass(frozen=True)
class PooledScores:
    """AUROC of one signal over groups of one level.

    units, hallucinated: how many groups there are, and how many hold something hallucinated
    max, mean: by the largest score of a group, and by their mean
    """

    signal: str
    level: str
    units: int
    hallucinated: int
    max: Estimate
    mean: Estimate


@dataclass(frozen=True)
class Groups:
    """The groups of one level: group_N says which one each unit belongs to, the others are of each group."""

    level: str
    group_N: np.ndarray
    false_G: np.ndarray
    image_G: np.ndarray

    def pooled(self, score_N: np.ndarray, how: str) -> np.ndarray:
        """
        >>> Groups("claim", np.array([0, 0, 1]), np.zeros(2), np.zeros(2)).pooled(np.array([1.0, 3.0, 5.0]), "mean")
        array([2., 5.])
        """
        if how == "mean":
            return np.bincount(self.group_N, score_N) / np.bincount(self.group_N)
        largest_G = np.full(len(self.false_G), -np.inf)
        np.maximum.at(largest_G, self.group_N, score_N)
        return largest_G


def groups_of(units: pd.DataFrame, image_N: np.ndarray) -> list[Groups]:
    """The groups of each level.

    Args:
        units: with caption, text, start, stop and false, in the order of the captions and their places.
        image_N: the number of the image of each.
    """
    false_N = units["false"].to_numpy(dtype=bool)
    found = []
    for level in LEVELS:
        keys: list[tuple[int, int]] = []
        claim, last = 0, 0
        for unit in units.itertuples():
            starts_anew = not keys or keys[-1][0] != unit.caption
            if level == "sentence":
                claim = len(_END.findall(unit.text[: unit.start]))
            elif level == "claim" and (starts_anew or not _NOTHING.fullmatch(unit.text[last : unit.start])):
                claim += 1
            keys.append((unit.caption, 0 if level == "caption" else claim))
            last = unit.stop
        numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
        group_N = np.array([numbers[key] for key in keys])
        false_G = np.bincount(group_N, false_N) > 0
        image_G = np.empty(len(numbers), dtype=image_N.dtype)
        image_G[group_N] = image_N
        found.append(Groups(level, group_N, false_G, image_G))
    return found


def pooled_scores(signal: str, score_N: np.ndarray, groups: Groups, draws: dict[str, int]) -> PooledScores:
    """Of units with these scores."""
    found = {
        how: ranking.intervals(
            ["auroc"],
            groups.false_G,
            groups.pooled(score_N, how),
            groups.image_G,
            resamples=draws["resamples"],
            seed=draws["seed"],
        )["auroc"]
        for how in ("max", "mean")
    }
    return PooledScores(signal, groups.level, len(groups.false_G), int(groups.false_G.sum()), **found)

"""The target with only some regions of the picture to be seen: the game that region methods play.

Axes: N sets of regions, R regions, M functions, H and W of the map's grid.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from causal_attrib.scores.saliency_methods.geometry import tokens_in
from causal_attrib.scores.saliency_methods.inputs import EmbeddingInput
from causal_attrib.scores.saliency_methods.reader import Reader
from causal_attrib.scores.saliency_methods.regions import Regions, in_picture


class Game(Protocol):
    """Players are regions; the value of a set is the target with the other regions hidden."""

    regions: Regions

    def values(self, seen_NR: np.ndarray) -> np.ndarray:
        """Values (N, M) of N sets, each one forward."""


class HiddenPixels:
    """Regions of the picture itself are painted over with the baseline, before the processor sees it."""

    def __init__(self, reader: Reader, regions: Regions, baseline: Image.Image):
        self.reader = reader
        self.regions = regions
        self._picture = np.asarray(reader.encoding.picture.pixels)
        self._baseline = np.asarray(baseline)

    def values(self, seen_NR: np.ndarray) -> np.ndarray:
        return self.reader.read_many(map(self._shown, seen_NR)).double().numpy()

    def _shown(self, seen_R: np.ndarray) -> Tensor:
        mask = in_picture(self.regions.union(~seen_R), self.reader.encoding.picture.pixels.size)
        return self.reader.pixels(Image.fromarray(np.where(mask[..., None], self._baseline, self._picture)))


class HiddenTokens:
    """The image tokens of regions become those of the baseline; what other tokens have taken up of them stays."""

    def __init__(self, given: EmbeddingInput, regions: Regions, baseline_1ND: Tensor):
        self.given = given
        self.regions = regions
        self._baseline_1ND = baseline_1ND
        self._without_box = [i for i, box in enumerate(given.layout.boxes) if box is None]

    def values(self, seen_NR: np.ndarray) -> np.ndarray:
        return self.given.reader.read_many(map(self._shown, seen_NR), self.given.scores).double().numpy()

    def _shown(self, seen_R: np.ndarray) -> Tensor:
        hidden = tokens_in(self.given.layout, self.regions.union(~seen_R))
        if len(hidden) + len(self._without_box) == len(self.given.layout.boxes):
            # With no part left, tokens that stand for no part (class token, newline) tell nothing either.
            hidden = [*hidden, *self._without_box]
        value_1ND = self.given.value_1X.clone()
        value_1ND[:, hidden] = self._baseline_1ND[:, hidden]
        return value_1ND


def all_but_one(count: int) -> np.ndarray:
    """Sets (1 + R, R) with every region, and with every region but one."""
    return np.vstack([np.ones((1, count), dtype=bool), ~np.eye(count, dtype=bool)])


@torch.no_grad()
def ends(game: Game) -> tuple[np.ndarray, np.ndarray]:
    """Values (M,) with every region seen, and with none."""
    full_M, empty_M = game.values(np.array([[True], [False]]).repeat(len(game.regions), 1))
    return full_M, empty_M

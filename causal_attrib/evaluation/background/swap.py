"""Is it the background or the object that an answer rests on? Swap each as a whole for that of another picture.

    effect of a region = f(I) - f(I with the region of I')        in nats

with f the log-probability of the answer, or its lead over a foil's. A background tells the same in all its patches, so
that hiding them one at a time changes nothing and blames what stands alone: the object. Whole regions have to be
compared (docs/background.md has the figures).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from causal_attrib.choices import Baseline, one_of
from causal_attrib.errors import InputError
from causal_attrib.evaluation.background.shares import outside_mask
from causal_attrib.io.pictures import ImageLike, read_picture
from causal_attrib.scores.saliency_methods.baselines import baseline_picture, baseline_value
from causal_attrib.scores.saliency_methods.geometry import token_grid
from causal_attrib.scores.saliency_methods.hiding import Game, HiddenPixels, HiddenTokens, all_but_one
from causal_attrib.scores.saliency_methods.inputs import EmbeddingInput
from causal_attrib.scores.saliency_methods.reader import Reader, frozen
from causal_attrib.scores.saliency_methods.regions import Regions, cut
from causal_attrib.scores.saliency_methods.target import Part, Target
from causal_attrib.vlm import VLM
from causal_attrib.vlm.layout import grid_boxes

LEVELS = ("embedding", "region")


@dataclass(frozen=True)
class Swap:
    """What an answer loses, in nats, without each of two regions; negative: the region speaks against it."""

    background: float
    object: float

    @property
    def blames_background(self) -> bool:
        return self.background > self.object


def region_swap(
    vlm: VLM,
    image: ImageLike,
    mask_HW: np.ndarray,
    question: str,
    answer: str,
    *,
    other: ImageLike | None = None,
    foil: str | None = None,
    baseline: Baseline = "swap",
    level: str = "embedding",
) -> Swap:
    """The effects of background and object on one answer to one question.

    Args:
        image: path, PIL image, array, tensor, bytes, data URI (docs/pictures.md).
        mask_HW: True on the object, in the picture's size; an image token that shows any of it is the object's.
        answer: what the model said.
        other: the picture whose regions are put in.
        foil: another answer ("no" where it said "yes"): what is explained is the lead over it.
        baseline: "swap", or another of `saliency`'s ("mean", "blur", "neutral"), which need no other picture.
        level: "embedding" puts in the other picture's image tokens, "region" its pixels.

    Raises:
        InputError: the mask does not fit or leaves one region empty, or image tokens stand for no part of the picture.
    """
    one_of("level", level, LEVELS)
    reader = _reader(vlm, image, question, answer, foil)
    size = reader.encoding.picture.pixels.size
    if mask_HW.shape != size[::-1]:
        raise InputError(f"The mask has shape {mask_HW.shape}, but the picture is {size[1]} high and {size[0]} wide.")
    rows, columns = token_grid(reader.encoding.layout)
    boxes = [box for box in grid_boxes(rows, columns) if box is not None]
    outside_HW = outside_mask(boxes, mask_HW).reshape(rows, columns)
    if outside_HW.all() or not outside_HW.any():
        raise InputError("All image tokens lie on one side of the mask; give one with an object and a background.")
    with frozen(vlm.model):
        game = _game(reader, Regions(np.stack([outside_HW, ~outside_HW])), baseline, other, level)
        values_N1 = game.values(all_but_one(2))
    return Swap(*(values_N1[0, 0] - values_N1[1:, 0]).tolist())


def leave_one_out(
    vlm: VLM,
    image: ImageLike,
    question: str,
    answer: str,
    *,
    other: ImageLike | None = None,
    foil: str | None = None,
    baseline: Baseline = "swap",
) -> np.ndarray:
    """The effect of each image token alone (rows, columns) on the answer: what misses a diffuse cause. As above."""
    reader = _reader(vlm, image, question, answer, foil)
    with frozen(vlm.model):
        regions = cut("patch", reader.encoding.layout, reader.encoding.picture.pixels.size)
        values_N1 = _game(reader, regions, baseline, other, "embedding").values(all_but_one(len(regions)))
    return regions.paint(values_N1[0, 0] - values_N1[1:, 0])


def _reader(vlm: VLM, image: ImageLike, question: str, answer: str, foil: str | None) -> Reader:
    encoding = vlm.encode(read_picture(image), question, answer)
    rows, parts = [encoding.response_ids], [Part(0, tuple(range(len(encoding.response_ids))))]
    if foil is not None:
        rows.append(vlm.encode(encoding.picture, question, foil).response_ids)
        parts.append(Part(1, tuple(range(len(rows[1]))), -1))
    target = Target(tuple(rows), (tuple(parts),), (answer,), ((),), "answer" if foil is None else "foil", foil)
    return Reader(vlm, encoding, target, batch_size=16)


def _game(reader: Reader, regions: Regions, baseline: Baseline, other: ImageLike | None, level: str) -> Game:
    shown = baseline_picture(baseline, reader.encoding.picture, reader.vlm.neutral_colour, other)
    if level == "region":
        return HiddenPixels(reader, regions, shown)
    given = EmbeddingInput(reader)
    return HiddenTokens(given, regions, baseline_value(baseline, given, shown))

"""What is shown in place of a hidden region.

    neutral   the colour that the processor maps to zero
    mean      the picture's own mean colour; of image tokens, their mean
    blur      the picture blurred until no object is left
    swap      another picture, scaled to the same size

A baseline is a picture, so that pixels and image tokens are hidden alike: by what the model sees of that picture there.
"""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from causal_attrib.choices import BASELINES, Baseline, one_of
from causal_attrib.io.pictures import ImageLike, Picture, read_picture
from causal_attrib.scores.saliency_methods.choice import check_other
from causal_attrib.scores.saliency_methods.inputs import EmbeddingInput, Input
from causal_attrib.vlm.reference_image import blurred, one_colour


def baseline_picture(
    name: Baseline, picture: Picture, colour: tuple[int, int, int], other: ImageLike | None = None
) -> Image.Image:
    """The whole baseline, of the picture's size.

    Args:
        name: one of `choices.BASELINES`.
        colour: the model's neutral one.
        other: the picture to swap with.

    Raises:
        InputError: no such baseline, or nothing to swap with.
    """
    one_of("baseline", name, BASELINES)
    check_other(name, other)
    pixels = picture.pixels
    if name == "neutral":
        return one_colour(pixels, colour)
    if name == "mean":
        red, green, blue = np.asarray(pixels).reshape(-1, 3).mean(0).round()
        return one_colour(pixels, (int(red), int(green), int(blue)))
    if name == "swap" and other is not None:
        return read_picture(other).pixels.resize(pixels.size, Image.Resampling.BICUBIC)
    return blurred(pixels)


def baseline_value(name: str, given: Input, shown: Image.Image) -> Tensor:
    """What an input is for the baseline (1, X).

    Args:
        shown: the baseline as a picture.
    """
    if name == "mean" and isinstance(given, EmbeddingInput):
        boxed = [i for i, box in enumerate(given.layout.boxes) if box is not None]
        value_1ND = given.value_1X.clone()
        value_1ND[:, boxed] = value_1ND[:, boxed].mean(1, keepdim=True)
        return value_1ND
    with torch.no_grad():
        return given.of_picture(shown)

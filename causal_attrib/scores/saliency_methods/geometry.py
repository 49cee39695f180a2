"""From what a model is given back to the picture: where each number of `pixel_values`, and each image token, lies.

Values are spread by area and their sum is kept: what lies beyond the picture (margins of a tile) is left out. Where
tiles and a view of the whole show the same place, their values add up.

Axes: K planes of pixels (tiles, patches), C channels, h and w rows and columns of a plane, H and W of the map, N image
tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image
from torch import Tensor

from causal_attrib.errors import InputError
from causal_attrib.vlm import VLM, Encoding
from causal_attrib.vlm.layout import WHOLE_PICTURE, Box, ImageLayout

Lay = Callable[[Tensor], Tensor]

# Pixels laid out rightly lie, on average, within this share of the picture of their place (0.002 in all models that we
# tried); those in another order are away by 0.027 and more.
STRAY = 0.01


# -- pixels -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PixelGeometry:
    """Which part of the picture each plane of pixels shows.

    lay:   puts the processor's tensor into planes (K, C, h, w)
    boxes: K parts of the picture, reaching beyond it where a plane has margins; None for a plane of padding only
    shape: (rows, columns) of the map: as fine as the finest plane sees the picture, and no finer than the picture
    """

    lay: Lay
    boxes: tuple[Box | None, ...]
    shape: tuple[int, int]

    def to_picture(self, of_pixels_Khw: np.ndarray) -> np.ndarray:
        """The map (H, W) of one value per pixel."""
        total_HW = np.zeros(self.shape)
        for plane_hw, box in zip(of_pixels_Khw, self.boxes, strict=True):
            if box is not None:
                rows_hH = shares(plane_hw.shape[0], box[1], box[3], self.shape[0])
                columns_wW = shares(plane_hw.shape[1], box[0], box[2], self.shape[1])
                total_HW += rows_hH.T @ plane_hw @ columns_wW
        return total_HW


def locate_pixels(vlm: VLM, encoding: Encoding, pixels: Callable[[Image.Image], Tensor]) -> PixelGeometry:
    """Find out where pixels come from by showing the processor ramps, so that it holds for any processor.

    A picture that brightens from left to right gives each pixel a grey that tells where in the picture it was. Black
    and white pictures tell how the processor maps greys, and which pixels are padding.

    Args:
        pixels: what the processor makes of a picture (1, ...).

    Raises:
        InputError: the processor's output does not depend on the picture pixel by pixel (it equalises each picture),
            or lies in an order that we do not know.
    """
    width, height = encoding.picture.pixels.size

    def lay(value: Tensor) -> Tensor:
        return vlm.family.planes(value, encoding.prompt_inputs)

    greys_across = np.tile((255 * (np.arange(width) + 0.5) / width).round(), (height, 1))
    greys_down = np.tile((255 * (np.arange(height) + 0.5) / height).round()[:, None], (1, width))

    def seen(greys_HW: np.ndarray) -> np.ndarray:
        picture = Image.fromarray(greys_HW.astype(np.uint8)).convert("RGB")
        return lay(pixels(picture)[0].float()).mean(1).cpu().numpy()

    unknown_order = InputError(
        f"The order in which {vlm.name} is given the pixels of a picture is not known; take level='embedding' or "
        "method='occlusion'."
    )
    black_Khw, white_Khw = seen(np.zeros((height, width))), seen(np.full((height, width), 255))
    range_Khw = white_Khw - black_Khw
    inside_Khw = range_Khw > 0.5 * range_Khw.max()
    if range_Khw.ndim != 3:
        raise unknown_order
    if not range_Khw.max() > 0:
        raise InputError(
            f"{vlm.name} evens out the greys of each picture, so that pixels cannot be told apart; take occlusion."
        )
    with np.errstate(divide="ignore", invalid="ignore"):
        x_Khw, y_Khw = ((seen(greys) - black_Khw) / range_Khw for greys in (greys_across, greys_down))
    boxes = tuple(
        _box(x_hw, y_hw, inside_hw, (width, height))
        for x_hw, y_hw, inside_hw in zip(x_Khw, y_Khw, inside_Khw, strict=True)
    )
    h, w = range_Khw.shape[1:]
    for box, x_hw, y_hw, inside_hw in zip(boxes, x_Khw, y_Khw, inside_Khw, strict=True):
        if (
            box is not None
            and max(_strays(x_hw.T, inside_hw.T, box[0::2]), _strays(y_hw, inside_hw, box[1::2])) > STRAY
        ):
            raise unknown_order
    there = [box for box in boxes if box is not None]
    columns = round(max(w / (right - left) for left, _, right, _ in there))
    rows = round(max(h / (bottom - top) for _, top, _, bottom in there))
    return PixelGeometry(lay, boxes, (min(rows, height), min(columns, width)))


def _box(x_hw: np.ndarray, y_hw: np.ndarray, inside_hw: np.ndarray, size: tuple[int, int]) -> Box | None:
    """The part of the picture that a plane shows, from where each of its pixels was found to be."""
    if not inside_hw.any():
        return None
    left, right = _edges(x_hw.T, inside_hw.T, size[0])
    top, bottom = _edges(y_hw, inside_hw, size[1])
    return (left, top, right, bottom)


def _edges(place_hw: np.ndarray, inside_hw: np.ndarray, length: int) -> tuple[float, float]:
    """Where rows begin and end, by a straight line through their places: it evens out the rounding of greys."""
    rows = np.flatnonzero(inside_hw.any(1))
    places = np.array([np.median(place_hw[row][inside_hw[row]]) for row in rows])
    # At the rim the processor's filter repeats the last pixels.
    inner = slice(2, -2) if len(rows) > 8 else slice(None)
    if len(rows) == 1:
        step, first = 1 / length, places[0] - rows[0] / length
    else:
        step, first = np.polyfit(rows[inner], places[inner], 1)
    edges = first - step / 2, first + step * (len(inside_hw) - 0.5)
    # Within a twentieth of a pixel it is the pixel's edge.
    low, high = (round(e * length) / length if abs(e * length - round(e * length)) < 0.05 else float(e) for e in edges)
    return low, high


def _strays(place_hw: np.ndarray, inside_hw: np.ndarray, ends: tuple[float, ...]) -> float:
    """How far rows lie, on average, from where they would between the ends of their box, as a share of the picture."""
    low, high = ends
    expected_h = low + (np.arange(len(place_hw)) + 0.5) / len(place_hw) * (high - low)
    return float(np.abs(place_hw - expected_h[:, None])[inside_hw].mean())


# -- image tokens -----------------------------------------------------------------------------------------------------


def token_grid(layout: ImageLayout) -> tuple[int, int]:
    """(rows, columns) of a map of image tokens: as fine as the finer tokens, where there are tiles.

    Raises:
        InputError: no image token stands for a part of the picture.
    """
    boxes = [box for box in layout.boxes if box is not None]
    if not boxes:
        raise InputError(
            "The image tokens of this model stand for no particular part of the picture; take level='pixel', or hide "
            "parts of the picture itself (method='occlusion', regions='grid:8')."
        )
    if layout.grid is not None and _covers(boxes):
        return layout.grid
    widths, heights = ([box[i + 2] - box[i] for box in boxes] for i in (0, 1))
    # Most tokens are those of the tiles; a few are cut at the picture's edge.
    return max(1, round(1 / np.quantile(heights, 0.25))), max(1, round(1 / np.quantile(widths, 0.25)))


def tokens_to_picture(of_tokens_N: np.ndarray, layout: ImageLayout, shape: tuple[int, int]) -> np.ndarray:
    """The map (H, W) of one value per image token; tokens without a box are left out."""
    total_HW = np.zeros(shape)
    for value, box in zip(of_tokens_N, layout.boxes, strict=True):
        if box is not None:
            total_HW += value * np.outer(shares(1, box[1], box[3], shape[0])[0], shares(1, box[0], box[2], shape[1])[0])
    return total_HW


def tokens_in(layout: ImageLayout, cover_HW: np.ndarray) -> list[int]:
    """The image tokens that lie in a region for the most part: more than half of their box."""
    chosen = []
    for index, box in enumerate(layout.boxes):
        if box is not None:
            rows_H = shares(1, box[1], box[3], cover_HW.shape[0])[0]
            columns_W = shares(1, box[0], box[2], cover_HW.shape[1])[0]
            if rows_H @ cover_HW @ columns_W > 0.5:
                chosen.append(index)
    return chosen


def holds_a_token(layout: ImageLayout, cover_RHW: np.ndarray) -> np.ndarray:
    """Whether each region (R,) has a token that lies in it for the most part."""
    boxes = [box for box in layout.boxes if box is not None]
    rows_NH = np.array([shares(1, box[1], box[3], cover_RHW.shape[1])[0] for box in boxes])
    columns_NW = np.array([shares(1, box[0], box[2], cover_RHW.shape[2])[0] for box in boxes])
    return np.array([((rows_NH @ cover_HW) * columns_NW).sum(1).max() > 0.5 for cover_HW in cover_RHW])


def _covers(boxes: Sequence[Box]) -> bool:
    edges = [f(box[i] for box in boxes) for i, f in enumerate((min, min, max, max))]
    return np.allclose(edges, WHOLE_PICTURE)


# -- shared -----------------------------------------------------------------------------------------------------------


def shares(count: int, start: float, end: float, cells: int) -> np.ndarray:
    """What share of each of `count` equal steps from `start` to `end` falls into each of `cells` cells of [0, 1].

    A row sums to 1, or to 0 for a step that lies outside.

    >>> shares(2, 0.0, 1.0, 4)
    array([[0.5, 0.5, 0. , 0. ],
           [0. , 0. , 0.5, 0.5]])
    >>> shares(3, -0.5, 1.0, 2).sum(1)
    array([0., 1., 1.])
    """
    edges_n = np.clip(np.linspace(start, end, count + 1), 0, 1)
    cells_c = np.linspace(0, 1, cells + 1)
    low_nc = np.maximum(edges_n[:-1, None], cells_c[None, :-1])
    high_nc = np.minimum(edges_n[1:, None], cells_c[None, 1:])
    overlap_nc = np.clip(high_nc - low_nc, 0, None)
    total_n1 = overlap_nc.sum(1, keepdims=True)
    return np.divide(overlap_nc, total_n1, out=np.zeros_like(overlap_nc), where=total_n1 > 1e-9)


def smoothed(values_HW: np.ndarray, share: float) -> np.ndarray:
    """The map under a Gaussian whose standard deviation is a share of its longer side; its sum is kept.

    >>> smoothed(np.array([[0.0, 0.0, 1.0]]), 0.5).round(2)
    array([[0.19, 0.36, 0.45]])
    """
    if share == 0:
        return values_HW
    sigma = share * max(values_HW.shape)

    def spread(count: int) -> np.ndarray:
        away = np.arange(count)[:, None] - np.arange(count)[None]
        weight = np.exp(-0.5 * (away / sigma) ** 2)
        return weight / weight.sum(1, keepdims=True)

    return spread(values_HW.shape[0]).T @ values_HW @ spread(values_HW.shape[1])

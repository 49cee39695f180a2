"""Where a picture lies among a model's inputs, and which part of it each image token stands for.

A box is (left, top, right, bottom) in fractions of the picture's width and height, so it holds whatever size the
processor made of the picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

Box = tuple[float, float, float, float]
WHOLE_PICTURE: Box = (0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True)
class ImageLayout:
    """The image tokens of one picture.

    Attributes:
        positions: where they stand.
        sequence: what `positions` count in. "prompt": the row of prompt tokens. "before the prompt": vision states that
            the decoder reads in front of its first text token. "encoder": states that it looks at by cross-attention.
        boxes: the part of the picture each of them stands for; None for one that stands for no particular part (a
            newline between rows, a class token, a learned query, a tile's padding).
        grid: (rows, columns) where the tokens with a box tile the picture once, row by row; None where they form no
            such grid (several tiles, or no boxes).
    """

    positions: tuple[int, ...]
    sequence: str
    boxes: tuple[Box | None, ...]
    grid: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if len(self.positions) != len(self.boxes):
            raise ValueError(f"{len(self.positions)} image tokens, but {len(self.boxes)} boxes")


def one_grid(
    positions: Sequence[int],
    rows: int,
    columns: int,
    *,
    sequence: str = "prompt",
    region: Box = WHOLE_PICTURE,
    leading: int = 0,
) -> ImageLayout:
    """A layout of `leading` tokens without a box (class tokens) and one grid over `region`.

    >>> one_grid(range(4), 2, 2).boxes[1]
    (0.5, 0.0, 1.0, 0.5)
    """
    boxes = (None,) * leading + grid_boxes(rows, columns, region)
    return ImageLayout(tuple(positions), sequence, boxes, (rows, columns) if None not in boxes[leading:] else None)


def without_boxes(positions: Sequence[int], sequence: str = "prompt") -> ImageLayout:
    """A layout of tokens that stand for no particular part, or for one that is not known."""
    return ImageLayout(tuple(positions), sequence, (None,) * len(positions))


def grid_boxes(rows: int, columns: int, region: Box = WHOLE_PICTURE) -> tuple[Box | None, ...]:
    """Boxes of a grid over `region`, row by row.

    What reaches beyond the picture (a padded tile) is cut off; a box that lies beyond it wholly is None.

    >>> grid_boxes(1, 4, (0.0, 0.0, 2.0, 1.0))
    ((0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0), None, None)
    """
    left, top, right, bottom = region
    width, height = (right - left) / columns, (bottom - top) / rows
    return tuple(
        _inside((left + c * width, top + r * height, left + (c + 1) * width, top + (r + 1) * height))
        for r in range(rows)
        for c in range(columns)
    )


def part(region: Box, row: int, rows: int, column: int, columns: int) -> Box:
    """One cell of a grid over `region`, for tiles that hold grids of their own.

    >>> part((0.0, 0.0, 1.0, 1.0), 1, 2, 0, 2)
    (0.0, 0.5, 0.5, 1.0)
    """
    left, top, right, bottom = region
    width, height = (right - left) / columns, (bottom - top) / rows
    return (left + column * width, top + row * height, left + (column + 1) * width, top + (row + 1) * height)


def shown(image_processor: Any, size: tuple[int, int]) -> Box:
    """The region of a picture that a plain image processor hands on: all of it, its middle, or it with a margin.

    Args:
        image_processor: one that resizes, and crops to the middle or pads to a square where its settings say so.
        size: (width, height) of the picture.
    """
    width, height = size
    if getattr(image_processor, "do_pad", False):
        side = max(width, height)
        return _centred(side / width, side / height)
    if not getattr(image_processor, "do_center_crop", False):
        return WHOLE_PICTURE
    wanted, crop = image_processor.size, image_processor.crop_size
    if wanted.get("shortest_edge"):
        short = wanted["shortest_edge"]
        # transformers rounds the longer side down.
        resized = (short, int(short * height / width)) if width <= height else (int(short * width / height), short)
    else:
        resized = (wanted["width"], wanted["height"])
    return _centred(crop["width"] / resized[0], crop["height"] / resized[1])


def _centred(width: float, height: float) -> Box:
    return ((1 - width) / 2, (1 - height) / 2, (1 + width) / 2, (1 + height) / 2)


def _inside(box: Box) -> Box | None:
    # Rounding must not turn the last sliver of a margin into a box.
    left, top, right, bottom = (min(max(edge, 0.0), 1.0) for edge in box)
    return (left, top, right, bottom) if right - left > 1e-6 and bottom - top > 1e-6 else None

"""Counterfactual sources: a text whose words, or a picture whose patches, stand in random order.

CE-PO (arXiv 2509.23095) shuffles words and has no pictures; patches are our reading of it. What a source says is gone,
what it is made of is still there.
"""

from __future__ import annotations

import re

import numpy as np
from PIL import Image


def shuffled_words(text: str, generator: np.random.Generator) -> str:
    """The words of a text in random order, the white space between them as it was.

    >>> shuffled_words("a  b c", np.random.default_rng(0))
    'c  a b'
    """
    pieces = re.split(r"(\s+)", text)
    places = [n for n, piece in enumerate(pieces) if piece and not piece.isspace()]
    words = [pieces[n] for n in places]
    for place, source in zip(places, generator.permutation(len(words)), strict=True):
        pieces[place] = words[source]
    return "".join(pieces)


def shuffled_patches(picture: Image.Image, grid: tuple[int, int], generator: np.random.Generator) -> Image.Image:
    """The cells of a picture in random order.

    Args:
        grid: rows and columns, no more than there are pixels. Cells that differ by a pixel are scaled to their place.

    >>> halves = Image.fromarray(np.array([[10, 20, 30, 40]], np.uint8))
    >>> np.asarray(shuffled_patches(halves, (1, 2), np.random.default_rng(3))).tolist()
    [[30, 40, 10, 20]]
    """
    rows, columns = grid
    x_edges, y_edges = (
        np.linspace(0, length, count + 1).round().astype(int).tolist()
        for length, count in zip(picture.size, (columns, rows), strict=True)
    )
    boxes = [(x_edges[c], y_edges[r], x_edges[c + 1], y_edges[r + 1]) for r in range(rows) for c in range(columns)]
    shuffled = picture.copy()
    for box, source in zip(boxes, generator.permutation(len(boxes)), strict=True):
        size = box[2] - box[0], box[3] - box[1]
        shuffled.paste(picture.crop(boxes[source]).resize(size, Image.Resampling.BILINEAR), box)
    return shuffled

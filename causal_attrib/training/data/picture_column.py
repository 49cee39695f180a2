"""The column of pictures that models are trained on: the very pixels that scoring shows them."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import Any

import datasets
from datasets.features.features import register_feature
from PIL import Image

from causal_attrib.io.pictures import MAX_PIXELS, read_picture


@dataclass
class PictureColumn(datasets.Image):
    """`datasets.Image` that opens a picture, when it is needed, with our own reader.

    Its own decoder puts black under transparency and clips 16-bit grey at 255.

    Args:
        max_pixels: as for `read_picture`. It goes along, so that other processes keep to it too.
    """

    max_pixels: int = MAX_PIXELS
    _type: str = field(default="CopoPicture", init=False, repr=False)

    def decode_example(self, value: Any, token_per_repo_id: object = None) -> Image.Image:
        if isinstance(value, Image.Image):  # that was opened before
            return value
        return read_picture(value, max_pixels=self.max_pixels).shown


# A table that was mapped is made again from the names of its columns' kinds, and `Image` would be opened otherwise.
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # that this may change; tests/io/test_pictures.py would tell
    register_feature(PictureColumn, "CopoPicture")

"""Sticker pictures: the bundled ones, or any folder of CLASS.png files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from causal_attrib.errors import InputError
from causal_attrib.io.parsing import PICTURE_ERRORS
from causal_attrib.scenes.world import PAINTED, STYLES

BUNDLED_FOLDER = Path(__file__).resolve().parent.parent / "assets" / "stickers"

# Hue of each colour on Pillow's circle of 256 steps.
HUES = {"red": 0, "yellow": 38, "green": 85, "blue": 160}


def paint(picture: Image.Image, colour: str) -> Image.Image:
    """The same RGBA picture in another colour: the hue is replaced, grey parts are coloured too, shading stays."""
    hsv = np.array(picture.convert("RGB").convert("HSV")).astype(int)
    hsv[..., 0] = HUES[colour]
    hsv[..., 1] = np.maximum(hsv[..., 1], 170)
    hsv[..., 2] = np.clip(hsv[..., 2], 70, 235)
    bands = [Image.fromarray(band) for band in np.moveaxis(hsv.astype(np.uint8), -1, 0)]
    painted = Image.merge("HSV", bands).convert("RGB")
    painted.putalpha(picture.getchannel("A"))
    return painted


class StickerSet:
    """Pictures by style, class and colour, with memory of what was painted and scaled before."""

    def __init__(self, pictures: dict[tuple[str, str], Image.Image], painted: Sequence[str] = ()) -> None:
        self.pictures = pictures  # (style, class) -> RGBA picture
        self.styles = tuple(dict.fromkeys(style for style, _ in pictures))
        self.classes = tuple(dict.fromkeys(cls for _, cls in pictures))
        self.painted = tuple(painted)
        self._ready: dict[tuple, np.ndarray] = {}

    def picture(self, style: str, cls: str, colour: str | None, side: int, flip: bool) -> np.ndarray:
        """The RGBA picture of one sticker at `side` pixels, as an array."""
        key = (style, cls, colour, side, flip)
        if key not in self._ready:
            if (style, cls) not in self.pictures:
                raise ValueError(f"there is no sticker of class {cls!r} in style {style!r}")
            picture = self.pictures[style, cls]
            if colour:
                picture = paint(picture, colour)
            if flip:
                picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
            self._ready[key] = np.asarray(picture.resize((side, side), Image.Resampling.BICUBIC))
        return self._ready[key]


def read_folder(folder: str | os.PathLike) -> dict[str, Image.Image]:
    """All CLASS.png files of a folder as a dictionary class -> RGBA picture; the class is the file name."""
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder; give a folder of CLASS.png stickers.")
    pictures = {}
    for file in sorted(folder.glob("*.png")):
        try:
            pictures[file.stem.replace("_", " ")] = Image.open(file).convert("RGBA")
        except PICTURE_ERRORS:
            raise InputError(f"{file} is not a picture that can be read; save it again as PNG.") from None
    if not pictures:
        raise InputError(f"{folder} holds no CLASS.png stickers; give a folder with one PNG a class.")
    return pictures


@cache
def bundled() -> StickerSet:
    """The stickers that come with the package: 63 classes in two styles."""
    pictures = {
        (style, cls): picture for style in STYLES for cls, picture in read_folder(BUNDLED_FOLDER / style).items()
    }
    return StickerSet(pictures, painted=PAINTED)


def from_folder(folder: str | os.PathLike) -> StickerSet:
    """Your own stickers. Their classes are the file names, their only style is "custom", and none is recoloured."""
    return StickerSet({("custom", cls): picture for cls, picture in read_folder(folder).items()})

"""The scored picture, found again: upright, on white, and proven to be the one that was scored."""

from __future__ import annotations

import base64
import hashlib
import io
import warnings
from typing import Any

from PIL import Image

from causal_attrib.errors import InputError
from causal_attrib.io.pictures import ImageLike, Picture, pixel_limit, read_picture

# A lossless picture larger than this is inlined as JPEG.
_LARGEST_PNG = 1_000_000


def scored_picture(image: dict[str, Any], given: ImageLike | None = None) -> Image.Image | None:
    """The picture of an `image` record, pixel for pixel as it was scored: `given`, or else found where it was scored.

    Returns:
        None if nothing was given and the picture was no file, is gone, or is another one by now (see `why_missing`).

    Raises:
        InputError: what was given is no picture, or is not the one that was scored.
    """
    if given is None:
        if image.get("path") is None:
            return None
        try:
            picture = _read(image, image["path"])
        except InputError:
            return None
        return picture.pixels if _is_scored(image, picture) else None
    try:
        picture = _read(image, given)
    except InputError as error:
        raise InputError(f"The picture cannot be read: {error}") from None
    if not _is_scored(image, picture):
        raise InputError("The picture is not the one that was scored; give that one, or score this one.")
    return picture.pixels


def why_missing(image: dict[str, Any]) -> str:
    """One sentence for the place where the picture would be."""
    path = image.get("path")
    if path is None:
        return "The scored picture was not a file, so it is not shown here."
    return f"The scored picture, {path}, is no longer there or is another one by now."


def data_uri(pixels: Image.Image, side: int) -> str:
    """The picture inlined, at most `side` pixels a side: PNG if that is small, else JPEG.

    Written anew, so that where and with what a photograph was taken does not travel with the page.
    """
    shown = pixels.copy()
    shown.thumbnail((side, side))
    for format, options in (("PNG", {"optimize": True}), ("JPEG", {"quality": 90, "subsampling": 0})):
        sink = io.BytesIO()
        shown.save(sink, format, icc_profile=pixels.info.get("icc_profile"), **options)
        if sink.tell() <= _LARGEST_PNG:
            break
    return f"data:image/{format.lower()};base64,{base64.b64encode(sink.getvalue()).decode()}"


def _read(image: dict[str, Any], source: ImageLike) -> Picture:
    """Read as it was for scoring, which told what there was to warn of; the limit may have been raised for it."""
    sides = image.get("width"), image.get("height")
    scored = sides[0] * sides[1] if isinstance(sides[0], int) and isinstance(sides[1], int) else 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return read_picture(source, max_pixels=max(scored, pixel_limit()))


def _is_scored(image: dict[str, Any], picture: Picture) -> bool:
    """The record's hash is that of the file, or of the raw pixels of a picture that was never a file."""
    return image.get("sha256") in (picture.sha256, hashlib.sha256(picture.pixels.tobytes()).hexdigest())

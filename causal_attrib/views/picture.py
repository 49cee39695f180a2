"""The scored picture, found again: upright, on white, and proven to be the one that was scored."""

from __future__ import annotations

import base64
import hashlib
import io
import os
from pathlib import Path

from PIL import Image, ImageOps

from causal_attrib.errors import InputError

# What Pillow raises for files that are no pictures, are cut short, or are too large to be opened safely.
_NO_PICTURE = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)
# A lossless picture larger than this is inlined as JPEG.
_LARGEST_PNG = 1_000_000


def scored_picture(image: dict, given: bytes | str | os.PathLike | None = None) -> Image.Image | None:
    """The upright RGB picture of an `image` record: `given` as bytes or path, or else found where it was scored.

    Returns:
        None if nothing was given and the picture was no file, is gone, or is another one by now (see `why_missing`).

    Raises:
        InputError: what was given is no picture, or is not the one that was scored.
    """
    if given is None:
        if image.get("path") is None:
            return None
        try:
            data = Path(image["path"]).read_bytes()
            pixels = _upright_rgb(data)
        except _NO_PICTURE:
            return None
        return pixels if _is_scored(image, data, pixels) else None
    try:
        data = given if isinstance(given, bytes) else Path(given).read_bytes()
        pixels = _upright_rgb(data)
    except _NO_PICTURE:
        raise InputError("The picture cannot be read; give the image file that was scored, or its bytes.") from None
    if not _is_scored(image, data, pixels):
        raise InputError("The picture is not the one that was scored; give that one, or score this one.")
    return pixels


def why_missing(image: dict) -> str:
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


def _upright_rgb(data: bytes) -> Image.Image:
    with Image.open(io.BytesIO(data)) as opened:
        profile = opened.info.get("icc_profile") if opened.mode in ("RGB", "RGBA") else None
        upright = ImageOps.exif_transpose(opened).convert("RGBA")
    pixels = Image.new("RGB", upright.size, "white")
    pixels.paste(upright, mask=upright.getchannel("A"))
    pixels.info["icc_profile"] = profile
    return pixels


def _is_scored(image: dict, data: bytes, pixels: Image.Image) -> bool:
    """The record's hash is that of the file, or of the raw pixels of a picture that was never a file."""
    return image.get("sha256") in (hashlib.sha256(data).hexdigest(), hashlib.sha256(pixels.tobytes()).hexdigest())

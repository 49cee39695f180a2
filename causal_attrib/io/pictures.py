"""Pictures from the user's disk or notebook, as upright RGB images."""

from __future__ import annotations

import hashlib
import io
import os
import re
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from causal_attrib.errors import InputError

# Processors guess the channel axis from the shape, and a picture one or three pixels high or wide misleads them.
SMALLEST_SIDE = 32


@dataclass(frozen=True)
class Picture:
    """An upright RGB picture and where it came from.

    `pixels` is what the model is shown; `sha256` is that of the file's bytes, or of the raw RGB bytes for a picture
    that was never a file, so that a saved score can be traced to the very picture it was made on.
    """

    pixels: Image.Image
    path: str | None
    sha256: str

    @property
    def record(self) -> dict:
        """The `image` entry of the JSON schema."""
        return {
            "path": self.path,
            "sha256": self.sha256,
            "width": self.pixels.width,
            "height": self.pixels.height,
        }


# What a picture may be given as.
ImageLike = str | os.PathLike[str] | Image.Image | np.ndarray | Picture


def read_picture(source: ImageLike) -> Picture:
    """Read a picture from a path, a PIL image or a uint8 array (height, width, 3).

    EXIF rotation is applied, transparency is laid on white, grey and CMYK become RGB, and of an animation the first
    frame is used (with a warning).

    Raises:
        InputError: the file is missing, is a folder, is no picture, is cut short, or is too large to be opened safely.
    """
    if isinstance(source, Picture):
        return source
    if isinstance(source, np.ndarray):
        if source.dtype != np.uint8 or source.ndim != 3 or source.shape[2] != 3:
            raise InputError(
                f"An image array must be uint8 of shape (height, width, 3), not {source.dtype} of shape {source.shape}."
            )
        source = Image.fromarray(source)
    if isinstance(source, Image.Image):
        pixels = _upright_rgb(source)
        return Picture(pixels, None, hashlib.sha256(pixels.tobytes()).hexdigest())

    if re.match(r"https?://", str(source)):
        raise InputError(f"{source} is an address, and pictures are not fetched; save it and give the file.")
    path = Path(source)
    if path.is_dir():
        raise InputError(f"{path} is a folder; give the path of one image file.")
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"There is no file {path}; check the path of the image.") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); check the permissions of the image.") from None
    try:
        with warnings.catch_warnings():
            # Between one and two times Pillow's limit it only warns; such a picture is still opened here.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data)) as opened:
                if getattr(opened, "n_frames", 1) > 1:
                    warnings.warn(f"{path} is animated; only its first frame is used.", stacklevel=2)
                pixels = _upright_rgb(opened)
    except UnidentifiedImageError:
        raise InputError(f"{path} is not an image that can be read; give a PNG, JPEG, WebP or GIF file.") from None
    except Image.DecompressionBombError as error:
        raise InputError(f"{path} has too many pixels to be opened safely ({error}); scale it down first.") from None
    except (OSError, SyntaxError, ValueError) as error:
        raise InputError(f"{path} is damaged or cut short ({error}); save or download it again.") from None
    return Picture(pixels, str(source), hashlib.sha256(data).hexdigest())


def at_least_smallest(picture: Image.Image) -> Image.Image:
    """The same picture, enlarged without new colours if a side is under `SMALLEST_SIDE` pixels."""
    width, height = picture.size
    if min(width, height) >= SMALLEST_SIDE:
        return picture
    return picture.resize((max(width, SMALLEST_SIDE), max(height, SMALLEST_SIDE)), Image.Resampling.NEAREST)


def _upright_rgb(image: Image.Image) -> Image.Image:
    image.load()
    upright = ImageOps.exif_transpose(image)
    if upright.mode.startswith("I;16"):
        # Pillow clips 16-bit grey at 255 instead of scaling it.
        grey = (np.asarray(upright).astype(np.uint32) >> 8).astype(np.uint8)
        upright = Image.fromarray(grey)
    if upright.has_transparency_data:
        layer = upright.convert("RGBA")
        upright = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    return upright.convert("RGB")

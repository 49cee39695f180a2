"""Pictures from outside, in whatever form they come, as upright RGB images: one reader for every use of a picture."""

from __future__ import annotations

import base64
import binascii
import contextlib
import contextvars
import hashlib
import io
import os
import re
import stat
import threading
import urllib.parse
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias, TypeGuard, TypeVar

import numpy as np
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from causal_attrib.errors import InputError
from causal_attrib.io import remote

if TYPE_CHECKING:
    import torch

# What `read_picture` takes.
ImageLike: TypeAlias = (
    "str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO | Mapping[str, Any] | Image.Image "
    "| np.ndarray[Any, Any] | torch.Tensor | Picture"
)

# Pillow's own limit, a quarter of a gigabyte of RGB: no photograph of today's cameras but the largest has more, and no
# model sees more. A file of 20 kB can ask for 13,000 x 13,000 pixels, whose scoring took 3.3 GB and 10 s.
MAX_PIXELS = 1024**3 // 4 // 3
# Processors guess the channel axis from the shape, and a picture one or three pixels high or wide misleads them.
SMALLEST_SIDE = 32

_TAKEN = (
    "a path, a PIL image, an array (height, width) or (height, width, 3), a torch tensor, bytes, a binary file, a "
    "dictionary with bytes or path, or a data URI"
)
_LONGEST_NAME = 80
_limit: contextvars.ContextVar[int] = contextvars.ContextVar("max_pixels", default=MAX_PIXELS)
_pillow = threading.Lock()
_T = TypeVar("_T")


@dataclass(frozen=True)
class Picture:
    """An upright RGB picture and where it came from.

    pixels: the picture; `shown` is what the model is given.
    path:   that of its file; None for a picture that was given in another way
    sha256: of the file's bytes, whether they were read from a path or given as they are, or of the raw RGB bytes for a
            picture that was never a file, so that a saved score can be traced to the very picture it was made on
    """

    pixels: Image.Image
    path: str | None
    sha256: str

    @property
    def record(self) -> dict[str, Any]:
        """The `image` entry of the JSON schema."""
        return {
            "path": self.path,
            "sha256": self.sha256,
            "width": self.pixels.width,
            "height": self.pixels.height,
        }

    @property
    def shown(self) -> Image.Image:
        """What every model is given: the picture, enlarged if it is very small."""
        return at_least_smallest(self.pixels)


def read_picture(
    source: ImageLike, folder: str | os.PathLike[str] | None = None, *, max_pixels: int | None = None
) -> Picture:
    """Read a picture: a path, a PIL image, an array, a torch tensor, the bytes of a file or an open binary file, a
    dictionary `{"bytes", "path"}` of a Hugging Face dataset, or a data URI. It becomes upright RGB of 8 bits:

    - EXIF rotation is applied, and of an animation the first frame is used (with a warning).
    - Transparency is laid on white; grey, palettes and CMYK become RGB.
    - uint8 is taken as it is, and a bool is black or white.
    - 16-bit grey (modes I;16, dtype uint16, grey PNG and PGM files of 16 bits) is scaled by 65535.
    - Other whole numbers (mode I) do not say their range: it is the smallest of 255, 65535 and the largest number of
      the type (2**32 - 1 at most) that no value exceeds.
    - Floats (mode F) are scaled by the smallest of 1, 255 and 65535 that no value exceeds.
    - Nothing is clipped. Negative values, NaN and infinity are refused, and so are values that leave the range in
      doubt: the brightest exceeds a range by so little that it would be nearly black in the next one (1.02 of 255).
    - An array is (height, width) or (height, width, channels) with 1 channel (grey), 3 (RGB) or 4 (RGBA). A tensor is
      (height, width) or, as in torchvision, (channels, height, width); if its first axis is no number of channels and
      its last is, it is (height, width, channels).

    Args:
        folder: what a relative path starts from; if there is no such file in it, `images` in it is tried.
        max_pixels: the largest width times height that is read, found before anything is decoded. None is
            `MAX_PIXELS`, or what `at_most` says.

    Raises:
        InputError: there is no such picture, or it cannot be read, is cut short, or is too large.
    """
    limit = _limit.get() if max_pixels is None else max_pixels
    if isinstance(source, Picture):
        return source
    if isinstance(source, Image.Image):
        return _of_image(source, limit)
    if isinstance(source, np.ndarray):
        return _of_array(source, "array", limit)
    if _is_tensor(source):
        return _of_array(_channels_last(source), "tensor", limit)
    data, path, name = _file_bytes(source, folder)

    def whole(opened: Image.Image) -> Image.Image:
        if getattr(opened, "n_frames", 1) > 1:
            warnings.warn(f"{name} is animated; only its first frame is used.", stacklevel=4)
        return _upright_rgb(opened, name)

    return Picture(_decode(data, name, limit, whole), path, hashlib.sha256(data).hexdigest())


def check_picture(source: ImageLike, folder: str | os.PathLike[str] | None = None) -> None:
    """Raises InputError if `read_picture` would. A JPEG is read to its end for this, but in an eighth of its size."""
    if _is_pixels(source):
        read_picture(source)
        return
    data, _, name = _file_bytes(source, folder)

    def decoded(opened: Image.Image) -> None:
        if opened.mode in ("I", "F"):  # whose values may be such that they are refused
            _upright_rgb(opened, name)
        opened.draft("RGB", (8, 8))
        opened.load()
        opened.getexif()

    _decode(data, name, _limit.get(), decoded)


def picture_size(source: ImageLike) -> tuple[int, int]:
    """(width, height) of a picture when it is upright, without decoding it.

    Raises:
        InputError: as `read_picture`, as far as this shows.
    """
    if _is_pixels(source):
        return read_picture(source).pixels.size

    def upright(opened: Image.Image) -> tuple[int, int]:
        on_its_side = opened.getexif().get(0x0112, 1) in (5, 6, 7, 8)  # EXIF 2.32: Orientation
        return (opened.height, opened.width) if on_its_side else opened.size

    path = _path_of(source)
    if path is not None:
        with contextlib.suppress(OSError, ValueError), open(path, "rb") as file:
            return _decode(file, _short(path), _limit.get(), upright)
    data, _, name = _file_bytes(source, None)
    return _decode(data, name, _limit.get(), upright)


def _unread_file(source: object) -> str | None:
    """The file of a picture that Pillow has opened and not decoded yet, so that nobody can have changed it."""
    if not isinstance(source, ImageFile.ImageFile) or not source.tile or not isinstance(source.filename, str):
        return None
    try:
        # A frame that was turned to, or a smaller draft, is not what the file begins with.
        same = (
            source.tell() == 0 and os.path.isfile(source.filename) and Image.open(source.filename).size == source.size
        )
    except Exception:  # as `_decode`: it is read and refused where it is used
        return None
    return os.path.abspath(source.filename) if same else None


def _is_pixels(source: object) -> TypeGuard[Picture | Image.Image | np.ndarray[Any, Any] | torch.Tensor]:
    """Whether a source is no file, nor the bytes of one."""
    return isinstance(source, (Picture, Image.Image, np.ndarray)) or _is_tensor(source)


def embedded(source: ImageLike, folder: str | os.PathLike[str] | None = None) -> dict[str, Any]:
    """A picture as Hugging Face datasets store it: `{"bytes": .., "path": None}`, or `{"bytes": None, "path": ..}` for
    a file, whose bytes stay where they are. `read_picture` makes the same pixels of it as of `source`."""
    unread = _unread_file(source)
    if unread is not None:
        return {"bytes": None, "path": unread}
    if _is_pixels(source):
        sink = io.BytesIO()
        # Without much effort: its files live in a table for as long as a run.
        read_picture(source).pixels.save(sink, "PNG", compress_level=1)
        return {"bytes": sink.getvalue(), "path": None}
    path = _path_of(source)
    if path is not None:
        return {"bytes": None, "path": str(_find(path, folder))}
    return {"bytes": _file_bytes(source, folder)[0], "path": None}


@contextlib.contextmanager
def at_most(max_pixels: int | None) -> Iterator[None]:
    """Read pictures of so many pixels, while it lasts; None leaves the limit as it is.

    Raises:
        InputError: the number is below 1.
    """
    if max_pixels is not None and max_pixels < 1:
        raise InputError(f"The limit is {max_pixels} pixels, but it must be 1 or more.")
    token = _limit.set(_limit.get() if max_pixels is None else max_pixels)
    try:
        yield
    finally:
        _limit.reset(token)


def pixel_limit() -> int:
    """The largest width times height that is read at present."""
    return _limit.get()


def at_least_smallest(picture: Image.Image) -> Image.Image:
    """The same picture, enlarged without new colours if a side is under `SMALLEST_SIDE` pixels."""
    width, height = picture.size
    if min(width, height) >= SMALLEST_SIDE:
        return picture
    if max(width, height) > SMALLEST_SIDE:
        warnings.warn(
            f"The picture is {width} x {height} pixels, and models are shown it with the shorter side stretched to "
            f"{SMALLEST_SIDE}, so in other proportions; crop or enlarge it yourself to keep them.",
            stacklevel=2,
        )
    return picture.resize((max(width, SMALLEST_SIDE), max(height, SMALLEST_SIDE)), Image.Resampling.NEAREST)


# -- sources ----------------------------------------------------------------------------------------------------------


def _file_bytes(source: ImageLike, folder: str | os.PathLike[str] | None) -> tuple[bytes, str | None, str]:
    """The bytes of an image file, its path if it has one, and what to call it."""
    path = _path_of(source)
    if path is not None:
        if remote.is_address(path) and remote.is_fetching():
            return remote.picture_bytes(path), path, _short(path)
        found = _find(path, folder)
        return _contents(found), str(found), _short(found)
    given = _unwrapped(source)
    if isinstance(given, str):
        return _of_data_uri(given), None, "The image given as a data URI"
    if isinstance(given, (bytes, bytearray, memoryview)):
        return bytes(given), None, "The image given as bytes"
    if hasattr(given, "read"):
        return _of_file(given), None, "The image given as a file"
    raise InputError(f"A picture cannot be {'null' if given is None else type(given).__name__}; give {_TAKEN}.")


def _path_of(source: object) -> str | None:
    """The path that a source names, or None if it is a picture itself."""
    given = _unwrapped(source)
    if isinstance(given, os.PathLike):
        given = os.fsdecode(given)
    return given if isinstance(given, str) and not _is_data_uri(given) else None


def _unwrapped(source: object) -> object:
    """What a dictionary of a Hugging Face dataset holds, bytes before a path; other sources as they are."""
    if not isinstance(source, Mapping):
        return source
    data, path = source.get("bytes"), source.get("path")
    if isinstance(data, (bytes, bytearray, memoryview)) and len(data):
        return data
    if isinstance(path, (str, os.PathLike)) and path and not data:
        return path
    keys = ", ".join(_short(key) for key in source) or "none"
    raise InputError(f"A picture given as a dictionary needs bytes or a path under these keys (it has {keys[:80]}).")


def _is_data_uri(text: str) -> bool:
    return text[:5].lower() == "data:"


def _find(path: str, folder: str | os.PathLike[str] | None) -> Path | str:
    """Where the file is: as it was given, or in the folder, or in `images` in it."""
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", path):
        raise InputError(f"{_short(path)} is an address, and pictures are not fetched; save it and give the file.")
    if folder is None:
        return path
    inside = Path(folder) / path
    with contextlib.suppress(OSError, ValueError):
        beside = Path(folder) / "images" / path
        if not inside.is_file() and beside.is_file():
            return beside
    return inside


def _contents(path: Path | str) -> bytes:
    name = _short(path)
    try:
        mode = os.stat(path).st_mode
        if not (stat.S_ISDIR(mode) or stat.S_ISCHR(mode) or stat.S_ISBLK(mode)):
            return Path(path).read_bytes()
    except FileNotFoundError:
        if not str(path):
            raise InputError("The path of the image is empty; give one.") from None
        raise InputError(f"There is no file {name}; check the path of the image.") from None
    except OSError as error:
        raise InputError(f"{name} cannot be read ({error.strerror}); check its path and its permissions.") from None
    except ValueError:  # a zero byte, or what is no Unicode
        raise InputError(f"{name} is no name of a file; check the path of the image.") from None
    raise InputError(f"{name} is a {'folder' if stat.S_ISDIR(mode) else 'device'}; give the path of one image file.")


def _of_data_uri(uri: str) -> bytes:
    """RFC 2397: data:[<mediatype>][;base64],<data>."""
    header, comma, data = uri.partition(",")
    if not comma:
        raise InputError(f"{_short(uri)} is no whole data URI; write data:image/png;base64,DATA.")
    try:
        decoded = urllib.parse.unquote_to_bytes(data)
        if header.lower().endswith(";base64"):
            decoded = base64.b64decode(b"".join(decoded.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise InputError(f"{_short(uri)} is no data URI that can be read ({error}); write it again.") from None
    return decoded


def _of_file(file: Any) -> bytes:
    """All of an open file, whatever was read of it before."""
    try:
        if file.seekable():
            file.seek(0)
        data = file.read()
    except (OSError, ValueError, AttributeError) as error:
        raise InputError(f"The image given as a file cannot be read ({_short(error)}); open it again.") from None
    if not isinstance(data, bytes):
        raise InputError("The image given as a file is open as text; open it as bytes (mode 'rb').")
    return data


def _is_tensor(source: object) -> bool:
    """Whether it is torch's, without torch."""
    return type(source).__module__.partition(".")[0] == "torch" and hasattr(source, "detach")


def _channels_last(tensor: Any) -> np.ndarray[Any, Any]:
    tensor = tensor.detach().cpu()
    if str(tensor.dtype) == "torch.bfloat16":  # which numpy lacks
        tensor = tensor.float()
    try:
        array = np.asarray(tensor.numpy())
    except (RuntimeError, TypeError) as error:
        raise InputError(f"The tensor cannot be read as a picture ({_short(error)}); give a dense one.") from None
    return np.moveaxis(array, 0, -1) if array.ndim == 3 and array.shape[0] in (1, 3, 4) else array


# -- to upright RGB of 8 bits -----------------------------------------------------------------------------------------


def _decode(data: bytes | BinaryIO, name: str, limit: int, use: Callable[[Image.Image], _T]) -> _T:
    """What `use` makes of the picture in a file, before it is decoded; `name` is what to call it."""
    try:
        with _quiet(limit), Image.open(io.BytesIO(data) if isinstance(data, bytes) else data) as opened:
            _check_size(opened.size, name, limit)
            return use(opened)
    except InputError:
        raise
    except UnidentifiedImageError:
        raise InputError(f"{name} is not an image that can be read; give a PNG, JPEG, WebP or GIF file.") from None
    except Image.DecompressionBombError:
        raise _too_large(name, f"more than {limit:,}", limit) from None
    except MemoryError:
        raise InputError(f"{name} takes more memory than there is; scale it down.") from None
    except Exception as error:  # Pillow's readers raise whatever a broken file brings about
        raise InputError(f"{name} is damaged or cut short ({_short(error)}); save or download it again.") from None


def _of_image(image: Image.Image, limit: int) -> Picture:
    name = "The PIL image"
    _check_size(image.size, name, limit)
    try:
        pixels = _upright_rgb(image, name)
    except InputError:
        raise
    except Exception as error:  # a file that is read only now, or a mode without colours
        raise InputError(f"{name} cannot be read ({_short(error)}); give it as RGB.") from None
    return _never_a_file(pixels)


def _of_array(array: np.ndarray[Any, Any], kind: str, limit: int) -> Picture:
    name = f"The image {kind}"
    channels = array.shape[2] if array.ndim == 3 else 1
    if array.ndim not in (2, 3) or channels not in (1, 3, 4) or array.dtype.kind not in "biuf":
        raise InputError(
            f"An image {kind} must hold numbers and have the shape (height, width) or "
            f"{'(channels, height, width)' if kind == 'tensor' else '(height, width, channels)'} with 1, 3 or 4 "
            f"channels, not {array.dtype} of shape {array.shape}."
        )
    _check_size((array.shape[1], array.shape[0]), name, limit)
    values = _to_uint8(array, name)
    image = Image.fromarray(values[..., 0] if values.ndim == 3 and channels == 1 else np.ascontiguousarray(values))
    return _never_a_file(_upright_rgb(image, name))


def _never_a_file(pixels: Image.Image) -> Picture:
    return Picture(pixels, None, hashlib.sha256(pixels.tobytes()).hexdigest())


def _upright_rgb(image: Image.Image, name: str) -> Image.Image:
    image.load()
    profile = image.info.get("icc_profile") if image.mode in ("RGB", "RGBA") else None
    stated = _stated_range(image)
    upright = ImageOps.exif_transpose(image)
    if upright.mode.startswith(("I", "F")):
        # Pillow clips these modes at 255 instead of scaling them.
        values = np.asarray(upright)
        grey = _to_uint8(values, name, stated)
        # A grey that stands for transparency is compared with the values of the file.
        clear = upright.info.get("transparency")
        if isinstance(clear, int):
            grey = np.where(values == clear, np.uint8(255), grey)
        upright = Image.fromarray(grey)
    elif upright.has_transparency_data:
        clear = upright.info.get("transparency")
        if upright.mode == "RGB" and isinstance(clear, tuple) and max(clear) > 255:
            # Of colours of 16 bits Pillow keeps the upper eight, but not of the one that stands for transparency.
            upright.info["transparency"] = tuple(channel >> 8 for channel in clear)
        layer = (upright.convert("LA") if upright.mode == "La" else upright).convert("RGBA")
        upright = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    pixels = upright if upright.mode == "RGB" else upright.convert("RGB")
    # What else a file says (where it was taken, comments) is none of the picture, and must not travel with it.
    pixels.info = {} if profile is None else {"icc_profile": profile}
    return pixels


def _stated_range(image: Image.Image) -> int | None:
    """The value of white where the file says so, though Pillow's mode does not."""
    if image.format in ("PNG", "PPM") and image.mode == "I":
        return 65535
    # Pillow gives grey of 12 bits as 16 bits, unscaled; 258 is BitsPerSample (TIFF 6.0).
    if image.format == "TIFF" and image.mode.startswith("I;16") and image.tag_v2.get(258) == (12,):  # type: ignore[attr-defined]
        return 4095
    return None


def _to_uint8(values: np.ndarray[Any, Any], name: str, white: float | None = None) -> np.ndarray[Any, Any]:
    """Values as greys of 0..255, by the rules of `read_picture`.

    Args:
        white: the value of white, if it is known.
    """
    if values.dtype == np.uint8:
        return values
    if values.dtype == np.bool_:
        return np.where(values, np.uint8(255), np.uint8(0))
    is_float = values.dtype.kind == "f"
    if is_float and not np.isfinite(values).all():
        raise InputError(f"{name} has NaN or infinity among its values; give numbers from 0 to 1, or to 255.")
    least, most = values.min().item(), values.max().item()
    if least < 0:
        raise InputError(f"{name} has negative values (down to {least:g}); give numbers from 0 to 1, or to 255.")
    if white is None:
        is_uint16 = values.dtype.kind == "u" and values.dtype.itemsize == 2  # of either byte order
        white = 65535 if is_uint16 else _range_of(values.dtype, most, name)
    # In float64, which holds each of them exactly.
    return np.rint(values.astype(np.float64) * (255 / white)).astype(np.uint8)


def _range_of(dtype: np.dtype[Any], most: float, name: str) -> int:
    """The value of white among numbers that do not say it, given the largest of them."""
    ranges = [1, 255, 65535] if dtype.kind == "f" else [255, 65535, min(np.iinfo(dtype).max, 2**32 - 1)]
    white = next((white for white in ranges if most <= white), None)
    if white is None:
        raise InputError(f"{name} has values up to {most:g}; give numbers from 0 to 1, to 255 or to 65535.")
    # Less than two of 255 greys: rather a value past the end of the range before.
    if white != ranges[0] and most * 255 < 2 * white:
        before = ranges[ranges.index(white) - 1]
        raise InputError(
            f"{name} has values up to {most:g}, a little more than {before}, so that their range is in doubt; give "
            f"numbers from 0 to {before}, or as uint8."
        )
    return white


# -- what is refused --------------------------------------------------------------------------------------------------


def _check_size(size: tuple[int, int], name: str, limit: int) -> None:
    width, height = size
    if not (width and height):
        raise InputError(f"{name} has no pixels ({width} x {height}).")
    # As it will be shown: a line of one pixel is made wider.
    enlarged = max(width, SMALLEST_SIDE) * max(height, SMALLEST_SIDE)
    if width * height > limit or enlarged > max(limit, SMALLEST_SIDE**2):
        raise _too_large(name, f"{width} x {height}", limit)


def _too_large(name: str, size: str, limit: int) -> InputError:
    return InputError(
        f"{name} has too many pixels ({size}, and {limit:,} are read at most); scale it down, or allow more with "
        "--max-pixels (max_pixels= of read_picture)."
    )


@contextlib.contextmanager
def _quiet(limit: int) -> Iterator[None]:
    """Pillow without a limit of its own below ours: it warns above one of its own and refuses above twice that."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        if Image.MAX_IMAGE_PIXELS is None or limit <= 2 * Image.MAX_IMAGE_PIXELS:
            yield
            return
        with _pillow:
            before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, limit
            try:
                yield
            finally:
                Image.MAX_IMAGE_PIXELS = before


def _short(value: object) -> str:
    """What is echoed of a user's text: a line without control characters, no longer than a name is."""
    text = "".join(c if c.isprintable() else c.encode("unicode_escape", "replace").decode() for c in str(value)[:1000])
    return text if len(text) <= _LONGEST_NAME or _is_path(value, text) else text[:_LONGEST_NAME] + "…"


def _is_path(value: object, text: str) -> bool:
    """Long paths are told whole: cut off they name nothing."""
    return isinstance(value, (str, os.PathLike)) and len(text) < 256 and not _is_data_uri(text)

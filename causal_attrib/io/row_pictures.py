"""Pictures as rows name them: a path, a data URI, or the bytes of a file as Hugging Face data sets hold them."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import TypedDict

from causal_attrib.errors import InputError
from causal_attrib.io.parsing import cut, one_line, shown


class PictureBytes(TypedDict):
    """A picture file itself, and what it was called."""

    bytes: bytes
    path: str | None


# What `io.pictures.read_picture` takes. Bytes stay as they are, so that a JPEG is not encoded twice.
PictureSource = str | PictureBytes

_ADDRESS = re.compile(r"(?:data:|[a-z][a-z0-9+.-]+://)", re.IGNORECASE)


def picture_source(value: object, key: str, where: str, folder: str | os.PathLike) -> PictureSource:
    """The picture that a row has under `key`; paths start from `folder`, or from `images` in it.

    Raises:
        InputError: `value` is none of a path, a data URI, {"bytes", "path"}, and a list of one of these.
    """
    if isinstance(value, list) and len(value) == 1:
        (value,) = value
    if isinstance(value, dict) and (value.get("bytes") is not None or value.get("path")):
        data, name = value.get("bytes"), value.get("path")
        if data is None:
            value = name
        elif isinstance(data, bytes) and (name is None or isinstance(name, str)):
            return {"bytes": data, "path": name}
    if not isinstance(value, str) or not value:
        raise InputError(f"{where} has {shown(value)} under {key!r}; give the path of a picture.")
    if _ADDRESS.match(value):
        return value
    # Beside a file of rows that was fetched, its pictures are fetched as well.
    return f"{os.fspath(folder)}/{value}" if _ADDRESS.match(os.fspath(folder)) else _found(Path(folder), value)


def only_picture(row: dict, where: str, folder: str | os.PathLike, *, has: str) -> PictureSource:
    """The one picture of a row, under `image` or `images`; `has` lists the keys of the row.

    Raises:
        InputError: it has none, or several.
    """
    key = next((key for key in ("image", "images") if row.get(key)), None)
    if key is None:
        raise no_picture(row, where, has=has)
    if isinstance(row[key], list) and len(row[key]) > 1:
        raise InputError(
            f"{where} has {len(row[key])} pictures under {key!r}, which are for training only; "
            "give one under 'image', the one that the text is about."
        )
    return picture_source(row[key], key, where, folder)


def no_picture(row: dict, where: str, *, has: str) -> InputError:
    """What to say of a row that has nothing under `image` or `images`."""
    for key in ("image", "images"):
        if key in row:
            nothing = "an empty list" if row[key] == [] else shown(row[key])
            return InputError(
                f"{where} has {nothing} under {key!r}; give the path of its picture, or leave the row out."
            )
    return InputError(f"{where} has no key 'image' (it has {has}); add the path of its picture.")


def name_of(source: PictureSource) -> str:
    """What a picture is called, the same for the same picture: its path, or what its bytes are."""
    if isinstance(source, str) and source[:5].lower() != "data:":
        return source
    data = source.encode("utf-8", "surrogatepass") if isinstance(source, str) else source["bytes"]
    named = "" if isinstance(source, str) else cut(one_line(source["path"] or ""))
    return f"{named or 'a picture in the file'} ({hashlib.sha256(data).hexdigest()[:16]})"


def check_there(source: PictureSource, where: str) -> None:
    """Raises InputError if a picture is a path at which there is no file."""
    if isinstance(source, str) and not _ADDRESS.match(source) and not is_file(Path(source)):
        raise InputError(f"There is no image {cut(source, 200)}, which {where} names; check the path.")


def is_file(path: Path) -> bool:
    """Whether there is a file, also for names that no file can have."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _found(folder: Path, name: str) -> str:
    beside = folder / "images" / name
    return str(beside if is_file(beside) and not is_file(folder / name) else folder / name)

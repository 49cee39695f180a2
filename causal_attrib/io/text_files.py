"""The text of a file."""

from __future__ import annotations

import gzip
import os
import zlib
from pathlib import Path

from causal_attrib.errors import InputError
from causal_attrib.io.parsing import reason_of


def as_path(path: object) -> Path:
    """Raises InputError for what is no path."""
    if not isinstance(path, str | os.PathLike):
        raise InputError(f"A file cannot be {path!r:.40}; give its path.")
    return Path(path)


def read_bytes(path: str | os.PathLike) -> bytes:
    """What is in a file, which may be gzipped (`.gz`).

    Raises:
        InputError: no such file, or it cannot be read.
    """
    path = as_path(path)
    try:
        data = path.read_bytes()
        return gzip.decompress(data) if path.suffix.lower() == ".gz" else data
    except FileNotFoundError:
        raise InputError(f"There is no file {path}; check the path.") from None
    except IsADirectoryError:
        raise InputError(f"{path} is a folder; give the path of a file.") from None
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise InputError(f"{path} cannot be read ({reason_of(error)}); check the file.") from None
    except MemoryError:
        raise InputError(f"{path} does not fit into the memory; give it in parts.") from None


def read_text(path: str | os.PathLike) -> str:
    """The text of a file, which may be gzipped (`.gz`).

    Raises:
        InputError: no such file, or it is not UTF-8.
    """
    data = read_bytes(path)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{path} is not UTF-8 text; save it as UTF-8.") from None

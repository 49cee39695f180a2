"""Result files, put in place in one step: a reader sees the old file or the whole new one."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from causal_attrib.errors import InputError


def write_json(path: str | os.PathLike, value: object) -> None:
    """One JSON value, indented."""
    _replace(path, to_json(value))


def write_rows(path: str | os.PathLike, rows: Iterable[object]) -> None:
    """JSON Lines."""
    _replace(path, "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows))


def to_json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, indent=1) + "\n"


def _replace(path: str | os.PathLike, text: str) -> None:
    path = Path(path)
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        beside.write_text(text, encoding="utf-8", newline="\n")
        os.replace(beside, path)
    except OSError as error:
        with suppress(OSError):
            beside.unlink()
        raise InputError(f"{path} cannot be written ({error.strerror}); choose another place for the output.") from None

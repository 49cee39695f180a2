"""Results as JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable

from causal_attrib.io.atomic import replace_file


def write_json(path: str | os.PathLike, value: object) -> None:
    """One JSON value, indented."""
    replace_file(path, to_json(value).encode())


def write_rows(path: str | os.PathLike, rows: Iterable[object]) -> None:
    """JSON Lines."""
    lines = "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows)
    replace_file(path, lines.encode())


def to_json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, indent=1) + "\n"

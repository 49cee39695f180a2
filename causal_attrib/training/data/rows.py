"""Rows of JSON Lines, JSON and Parquet files, as they stand there."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

from causal_attrib.errors import InputError


def read_rows(path: Path) -> Iterator[tuple[str, dict]]:
    """Where each row of a file stands, and the row as it is."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"There is no file {path}; check the path.") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); give a JSON Lines or Parquet file.") from None
    if path.suffix == ".parquet":
        yield from _read_parquet(path, data)
        return
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{path} is not UTF-8 text; save it as UTF-8.") from None
    if text.lstrip().startswith("["):
        try:
            listed = enumerate(json.loads(text), start=1)
        except json.JSONDecodeError as error:
            raise InputError(f"{path} line {error.lineno} is not JSON ({error.msg}); mend the file.") from None
        for number, row in listed:
            yield f"{path} row {number}", _object(row, f"{path} row {number}")
        return
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            where = f"{path} line {number}"
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise InputError(f"{where} is not JSON ({error.msg}); mend the line.") from None
            yield where, _object(row, where)


def _read_parquet(path: Path, data: bytes) -> Iterator[tuple[str, dict]]:
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.read_table(io.BytesIO(data))
    except (pyarrow.ArrowInvalid, OSError) as error:
        raise InputError(f"{path} is no Parquet file that can be read ({error}); write it again.") from None
    for number, row in enumerate(table.to_pylist(), start=1):
        # A column that other rows fill is None in this one.
        yield f"{path} row {number}", {name: value for name, value in row.items() if value is not None}


def _object(row: object, where: str) -> dict:
    if not isinstance(row, dict):
        raise InputError(f"{where} holds {str(row)[:40]!r} where a row should be an object with keys.")
    return row

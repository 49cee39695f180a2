"""Rows that failed, in a file beside the output that lacks them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from causal_attrib.errors import InputError
from causal_attrib.io.json_files import write_rows
from causal_attrib.io.parsing import reason_of as first_line
from causal_attrib.io.rows import read_rows


@dataclass(frozen=True)
class Failure:
    """A row that failed: its place from 0, what it is called, its picture, its line, and why it failed."""

    row: int
    id: str
    image: str
    where: str
    reason: str


def failures_path(output: str | os.PathLike) -> Path:
    """Where the rows stand that are missing in `output`."""
    output = Path(output)
    return output.with_name(output.name + ".failed.jsonl")


def write_failures(output: str | os.PathLike, failures: Sequence[Failure]) -> None:
    """Write what failed beside `output`, or take away what an earlier run wrote there."""
    if failures:
        write_rows(failures_path(output), map(asdict, failures))
    else:
        failures_path(output).unlink(missing_ok=True)


def read_failures(output: str | os.PathLike) -> list[Failure]:
    """The rows that are missing in `output`."""
    path = failures_path(output)
    if not path.exists():
        return []
    kinds = {column.name: int if column.name == "row" else str for column in fields(Failure)}
    rows = read_rows(path)
    if any({name: type(value) for name, value in row.value.items()} != kinds for row in rows):
        raise InputError(f"{path} is not what copo writes beside a file; score the shard again.")
    return [Failure(**row.value) for row in rows]


def reason_of(error: Exception) -> str:
    """What went wrong, in a line."""
    if isinstance(error, InputError):
        return str(error)
    return f"{type(error).__name__} ({first_line(error)})"

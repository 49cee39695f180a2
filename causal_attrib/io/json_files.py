"""JSON of one value: files that are read, and results that are written."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from causal_attrib.errors import InputError
from causal_attrib.io.atomic import check_writable, is_stream, replace_file
from causal_attrib.io.parsing import PARSER_ERRORS, parse_json, reason_of
from causal_attrib.io.text_files import read_text


def read_json(path: str | os.PathLike, remedy: str = "mend the file") -> Any:
    """The one JSON value of a file, which may be gzipped (`.gz`).

    Raises:
        InputError: no such file, or what stands in it is not JSON; `remedy` says what to do about that.
    """
    text = read_text(path)
    try:
        return parse_json(text)
    except json.JSONDecodeError as error:
        raise InputError(f"{path} line {error.lineno} is not JSON ({error.msg}); {remedy}.") from None
    except PARSER_ERRORS as error:
        raise InputError(f"{path} is not JSON ({reason_of(error)}); {remedy}.") from None


def write_json(path: str | os.PathLike, value: object) -> None:
    """One JSON value, indented."""
    replace_file(path, to_json(value).encode())


def check_rows(path: str | os.PathLike, what: str) -> None:
    """Raise an `InputError` unless JSON Lines can be written at `path`: call it before the work, not after."""
    check_rows_name(path, what)
    check_writable(path)


def check_rows_name(path: str | os.PathLike, what: str) -> None:
    """Raise an `InputError` if the suffix of `path` promises something other than JSON Lines."""
    if Path(path).suffix.lower() != ".jsonl" and not is_stream(path):
        raise InputError(f"{what} are written as JSON Lines; let the name of {path} end in .jsonl.")


def write_rows(path: str | os.PathLike, rows: Iterable[object]) -> None:
    """JSON Lines."""
    replace_file(path, b"".join(map(json_line, rows)))


def json_line(value: object) -> bytes:
    """A value as a line of JSON; half characters (lone surrogates), which UTF-8 cannot hold, are escaped."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False).encode() + b"\n"
    except UnicodeEncodeError:
        return json.dumps(value, allow_nan=False).encode() + b"\n"


def to_json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, indent=1) + "\n"

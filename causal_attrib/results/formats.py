"""File formats of one attribution: JSON, JSON Lines, CSV, parquet and the HTML report, each of which loads again.

A JSON object is that of schema version 1 (`Attribution.to_dict`). The tables have a row per token, with `image` and
`caption_id` beside its columns; what is not of a token stands in the first line of a CSV file, and in the metadata of a
parquet file. Files and folders of many captions are those of `caption_files`, and are read here too.

A cell of a CSV file that a spreadsheet would take for a formula (it begins with =, +, - or @) has a ' before it.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from causal_attrib.errors import InputError
from causal_attrib.io.atomic import check_writable, is_stream
from causal_attrib.io.parsing import PARSER_ERRORS, parse_json, reason_of
from causal_attrib.io.text_files import as_path
from causal_attrib.results.tokens import COLUMNS, FIELDS, NUMBERS, signal_column

if TYPE_CHECKING:
    import pandas as pd

    from causal_attrib.results.attribution import Attribution

FORMATS = ("json", "jsonl", "csv", "parquet", "html")
# What is drawn, and holds no numbers to load again.
FIGURES = ("png", "pdf", "svg")
# The element of the report that holds what is loaded again: one attribution, or a list of several.
HTML_ID = "copo-attribution"
_HTML_MARK = f'<script type="application/json" id="{HTML_ID}">'

_CSV_MARK = "# copo: "
# Columns with strings of strangers.
OF_STRANGERS = ("caption_id", "image", "text")
_FORMULA = re.compile(r"'*[=+\-@\t\r]")


def format_of(
    path: str | os.PathLike, formats: Sequence[str] = FORMATS, *, of_stream: str = "json", what_for: str = ""
) -> str:
    """The format that the suffix of `path` names; `of_stream` for a device or a pipe whose name has none.

    Raises:
        InputError: it names none; `what_for` is said of the format.
    """
    suffix = as_path(path).suffix.lower().removeprefix(".")
    if suffix not in formats:
        if is_stream(path):
            return of_stream
        known = ", ".join(f".{name}" for name in formats)
        one = "one of " if len(formats) > 1 else ""
        raise InputError(f"The suffix of {path} names no format{what_for}; end it in {one}{known}.")
    return suffix


def check_output(path: str | os.PathLike, formats: Sequence[str] = FORMATS) -> None:
    """Raise an `InputError` unless an attribution can be saved at `path`: call it before the work, not after."""
    format_of(path, formats)
    check_writable(path)


def to_bytes(attribution: Attribution, format: str) -> bytes:
    """An attribution as a file of this format."""
    if format == "json":
        return json_bytes(attribution.to_dict(), indent=2)
    if format == "jsonl":
        return json_bytes(attribution.to_dict())
    if format == "csv":
        return _to_csv(attribution)
    if format == "parquet":
        return _to_parquet(attribution)
    if format == "html":
        from causal_attrib import views

        return views.report(attribution).encode()
    if format in FIGURES:
        from causal_attrib import views

        return views.report_bytes(attribution, format=format)
    raise InputError(f"There is no format {format!r}; choose one of {', '.join((*FORMATS, *FIGURES))}.")


def read(path: str | os.PathLike) -> list[dict]:
    """The objects of schema version 1 in a file of any of the formats.

    Raises:
        InputError: no such file, or not one of ours.
    """
    if as_path(path).is_dir():
        return _read_many(path)
    readers = {
        "json": _read_json,
        "jsonl": _read_jsonl,
        "csv": _read_csv,
        "parquet": _read_parquet,
        "html": _read_html,
    }
    reader = readers[format_of(path)]
    try:
        data = Path(path).read_bytes()
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({reason_of(error)}); check the path.") from None
    try:
        if _is_of_tables(data, format_of(path)):
            return _read_many(path)
        return reader(data)
    except InputError:
        raise
    except MemoryError:
        raise InputError(f"{path} does not fit into the memory; read it on a larger machine.") from None
    except PARSER_ERRORS:
        raise InputError(f"{path} is not an attribution saved by copo, or it is damaged: score again.") from None


def json_bytes(value: object, indent: int | None = None) -> bytes:
    return (json.dumps(value, ensure_ascii=False, allow_nan=False, indent=indent) + "\n").encode()


def caption_id(attribution: Attribution) -> str:
    """Tells captions apart where rows of several are put together: same picture, prompt and caption, same id."""
    told = [
        attribution.image.get("sha256"),
        attribution.prompt,
        attribution.question,
        attribution.answer,
        attribution.caption,
    ]
    return hashlib.sha256(json_bytes(told)).hexdigest()[:16]


# -- tables -----------------------------------------------------------------------------------------------------------


def for_spreadsheets(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows with a ' before what a spreadsheet would run as a formula, in columns that hold strangers' strings."""
    strings = [name for name in frame if name in OF_STRANGERS]
    return frame.assign(**{name: frame[name].map(escaped_cell, na_action="ignore") for name in strings})


def plain_cell(cell: str) -> str:
    """A cell as it was before `for_spreadsheets`."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def records_of_version_1(path: Path, format: str) -> Iterator[dict]:
    """The objects of a table of many captions that holds all there is of them, as `caption_files.Scored.to_dict`."""
    if format == "csv":
        with path.open(encoding="utf-8", newline="") as text:
            yield from _records_of_csv(text)
    else:
        for rows in _read_parquet_table(path):
            yield from _records_of(rows)


def has_column(path: str | os.PathLike, name: str) -> bool:
    """Whether a parquet file has a column.

    Raises:
        ValueError: it is damaged, or no parquet file.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return name in pq.read_schema(path).names
    except pa.ArrowException as error:
        raise ValueError(error) from error


def holds_one(path: str | os.PathLike) -> bool:
    """Whether a CSV or parquet file is the table of one attribution, with its provenance in it."""
    if Path(path).suffix.lower() == ".csv":
        with Path(path).open("rb") as file:
            return file.readline().startswith(_CSV_MARK.encode())
    import pyarrow.parquet as pq

    return b"copo" in (pq.read_schema(path).metadata or {})


def _is_of_tables(data: bytes, format: str) -> bool:
    """Whether a file is one of two tables of many captions."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if format == "csv":
        return data.startswith(b'"caption_id"') and b'"about"' not in data.partition(b"\n")[0]
    try:
        return format == "parquet" and b"copo_tables" in (pq.read_schema(io.BytesIO(data)).metadata or {})
    except MemoryError:
        raise
    except pa.ArrowException as error:
        raise ValueError(error) from error


def _read_many(path: str | os.PathLike) -> list[dict]:
    from causal_attrib.results import caption_files

    return [one.to_dict() for one in caption_files.read(path)]


def _records_of_csv(text: TextIO) -> Iterator[dict]:
    rows = csv_rows(text)
    read = ({**row, **_of_text(row), "caption_id": plain_cell(row["caption_id"])} for row in rows)
    yield from _records_of(read, float)


def _records_of(rows: Iterable[dict], number: Callable[[Any], float] = lambda value: value) -> Iterator[dict]:
    """The objects that rows of a table of many captions stand for.

    Args:
        number: makes numbers of the cells of signals.
    """
    for caption, of_caption in groupby(rows, key=lambda row: row["caption_id"]):
        listed = list(of_caption)
        about = parse_json(listed[0]["about"])
        yield {"caption_id": caption, **about, "tokens": [_token(row, about, number) for row in listed]}


def token_of_text(row: dict[str, str], about: dict) -> dict:
    """A row of a CSV file as the token that it was."""
    return _token({**row, **_of_text(row)}, about, float)


def _token(row: dict, about: dict, number: Callable[[Any], float] = lambda value: value) -> dict:
    """The token of a row: its own columns, and those of signals together.

    Args:
        about: the object without its tokens, which says what signals there are.
    """
    token = {name: row[name] for name in FIELDS if name in row or name in COLUMNS}
    if about.get("signals") is not None:
        token["signals"] = {name: number(row[signal_column(name)]) for name in about["signals"]["columns"]}
    return token


def _of_text(row: dict[str, str]) -> dict:
    """What a row of a CSV file has of a token, signals apart."""
    kinds: dict[str, Any] = {"text": plain_cell, "verdict": str} | dict.fromkeys(NUMBERS, float)
    there = [name for name in FIELDS if name in row or name in COLUMNS]
    return {name: kinds.get(name, int)(row[name]) if row[name] or name == "text" else None for name in there}


def _read_parquet_table(file: Any) -> Iterator[list[dict]]:
    """The rows of a parquet file of many captions, a group at a time.

    Raises:
        ValueError: it is damaged, or no parquet file.
        MemoryError: it does not fit into the memory, which is no damage.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.ParquetFile(file)
        for group in range(table.num_row_groups):
            yield table.read_row_group(group).to_pylist()
    except MemoryError:
        raise
    except pa.ArrowException as error:
        raise ValueError(error) from error


def escaped_cell(cell: str) -> str:
    return f"'{cell}" if _FORMULA.match(cell) else cell


def csv_rows(text: TextIO) -> Iterator[dict[str, str]]:
    """The rows of a CSV file that we wrote."""
    before = csv.field_size_limit(2**31 - 1)  # `about` may be long
    try:
        for row in csv.DictReader(text, strict=True):
            if None in row or None in row.values():
                raise ValueError("a row has more or fewer cells than there are columns")
            yield row
    finally:
        csv.field_size_limit(before)


def _provenance(attribution: Attribution) -> dict:
    return {name: value for name, value in attribution.to_dict().items() if name != "tokens"}


def _rows(attribution: Attribution) -> pd.DataFrame:
    frame = attribution.to_frame()
    frame.insert(0, "image", attribution.image.get("path") or "")
    frame.insert(1, "caption_id", caption_id(attribution))
    return frame


def _to_csv(attribution: Attribution) -> bytes:
    # Every string is quoted, so that a "#" in a token is not taken for the beginning of a comment.
    rows = for_spreadsheets(_rows(attribution))
    text = rows.to_csv(index=False, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
    return _CSV_MARK.encode() + json_bytes(_provenance(attribution)) + text.encode()


def _to_parquet(attribution: Attribution) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.Table.from_pandas(_rows(attribution), preserve_index=False)
    about = {**(table.schema.metadata or {}), b"copo": json_bytes(_provenance(attribution))}
    sink = io.BytesIO()
    pq.write_table(table.replace_schema_metadata(about), sink)
    return sink.getvalue()


def _read_json(data: bytes) -> list[dict]:
    return [parse_json(data.decode())]


def _read_jsonl(data: bytes) -> list[dict]:
    return [parse_json(line) for line in data.decode().split("\n") if line.strip()]


def _read_html(data: bytes) -> list[dict]:
    found = re.search(f"{re.escape(_HTML_MARK)}(.*?)</script>", data.decode(), re.DOTALL)
    if found is None:
        raise ValueError("the page holds no attribution")
    read = parse_json(found[1])
    return read if isinstance(read, list) else [read]


def _read_csv(data: bytes) -> list[dict]:
    if not data.startswith(_CSV_MARK.encode()):
        return list(_records_of_csv(io.StringIO(data.decode(), newline="")))
    provenance, _, rows = data.decode().partition("\n")
    about = parse_json(provenance.removeprefix(_CSV_MARK))
    return [about | {"tokens": [token_of_text(row, about) for row in csv_rows(io.StringIO(rows, newline=""))]}]


def _read_parquet(data: bytes) -> list[dict]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(io.BytesIO(data))
        if "about" in table.column_names:
            return list(_records_of(table.to_pylist()))
        about = parse_json(table.schema.metadata[b"copo"].decode())
        return [about | {"tokens": [_token(row, about) for row in table.to_pylist()]}]
    except MemoryError:
        raise
    except pa.ArrowException as error:
        raise ValueError(error) from error

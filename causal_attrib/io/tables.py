"""Tables as rows: CSV, Parquet, and the Arrow files of a Hugging Face data set. Pictures in them stay as they are.

A column of pictures of a Hugging Face data set holds {"bytes", "path"}: the bytes of the file, which are never
re-encoded. A column of class labels holds numbers, which become the names that they stand for.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from causal_attrib.errors import InputError
from causal_attrib.io.parsing import PARSER_ERRORS, reason_of, shown

if TYPE_CHECKING:
    import pyarrow as pa

# Rows of a table that become Python objects at a time.
_AT_ONCE = 1024


def csv_rows(text: str, path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Each row and the line it begins on; an empty cell is None.

    Raises:
        InputError: a row has more or fewer cells than the first line names, or a quote is never closed.
    """
    before = csv.field_size_limit(len(text) + 1)  # a picture as data URI is one cell
    try:
        cells = csv.reader(io.StringIO(text, newline=""), strict=True)
        names = next(cells, None)
        if names is None:
            return
        if twice := {name for name in names if names.count(name) > 1}:
            raise InputError(f"{path} has two columns {shown(min(twice))}; give each column its own name.")
        line = cells.line_num + 1
        for row in cells:
            if row and len(row) != len(names):
                raise InputError(
                    f"{path} line {line} has {len(row)} cells and its first line names {len(names)} columns; "
                    "mend the line, with quotes around cells that hold commas."
                )
            if row:
                yield line, {name: cell if cell else None for name, cell in zip(names, row, strict=True)}
            line = cells.line_num + 1
    except csv.Error as error:
        raise InputError(f"{path} is no CSV file that can be read ({reason_of(error)}); mend the file.") from None
    finally:
        csv.field_size_limit(before)


def parquet_rows(data: bytes, path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a Parquet file; a NaN is an empty cell, which is None.

    Raises:
        InputError: the file is damaged, or none.
    """
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.read_table(io.BytesIO(data))
        yield from _table_rows(table, path)
    except InputError:
        raise
    except (*PARSER_ERRORS, pyarrow.ArrowException) as error:
        if isinstance(error, MemoryError):
            raise
        raise InputError(f"{path} is no Parquet file that can be read ({reason_of(error)}); write it again.") from None


def saved_files(folder: Path) -> list[Path] | None:
    """The Arrow files of a data set that `datasets` saved to a folder (`save_to_disk`); None for another folder.

    Raises:
        InputError: it holds several splits, or is damaged.
    """
    from causal_attrib.io.json_files import read_json

    if (folder / "dataset_dict.json").is_file():
        splits = read_json(folder / "dataset_dict.json").get("splits", [])
        if len(splits) == 1 and (folder / str(splits[0])).is_dir():
            return saved_files(folder / str(splits[0]))
        one = folder / str(splits[0] if splits else "train")
        raise InputError(f"{folder} holds {len(splits)} splits of a data set; give the folder of one, such as {one}.")
    if not (folder / "state.json").is_file():
        return None
    try:
        names = [one["filename"] for one in read_json(folder / "state.json")["_data_files"]]
        if not names or any(Path(name).name != name for name in names):
            raise ValueError
    except PARSER_ERRORS as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{folder / 'state.json'} is damaged; save the data set again (save_to_disk).") from None
    return [folder / name for name in names]


def arrow_rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of one Arrow file of a saved data set.

    Raises:
        InputError: the file is missing or damaged.
    """
    import pyarrow as pa

    try:
        with pa.memory_map(str(path)) as file, pa.ipc.open_stream(file) as stream:
            yield from _table_rows(stream.read_all(), path)
    except InputError:
        raise
    except (*PARSER_ERRORS, pa.ArrowException) as error:
        if isinstance(error, MemoryError):
            raise
        raise InputError(f"{path} cannot be read ({reason_of(error)}); save the data set again.") from None


def _table_rows(table: pa.Table, path: Path) -> Iterator[dict[str, Any]]:
    names = table.column_names
    if twice := {name for name in names if names.count(name) > 1}:
        raise InputError(f"{path} has two columns {shown(min(twice))}; give each column its own name.")
    labels = _label_names(table.schema)
    for batch in table.to_batches(max_chunksize=_AT_ONCE):
        for row in batch.to_pylist():
            yield {name: _cell(value, labels.get(name)) for name, value in row.items()}


def _cell(value: Any, labels: list[str] | None) -> Any:
    if isinstance(value, float) and value != value:
        return None
    if labels is not None and isinstance(value, int):
        if not -1 <= value < len(labels):
            raise ValueError(f"there is no label number {value}")
        return labels[value] if value >= 0 else None  # -1 is what a test set has in place of labels
    return value


def _label_names(schema: pa.Schema) -> dict[str, list[str]]:
    """The names of the classes of each column of class labels, from what `datasets` writes into the schema."""
    written = (schema.metadata or {}).get(b"huggingface")
    try:
        features = json.loads(written)["info"]["features"] if written else {}
        return {
            name: [str(label) for label in feature["names"]]
            for name, feature in features.items()
            if isinstance(feature, dict) and feature.get("_type") == "ClassLabel"
        }
    except PARSER_ERRORS:
        raise ValueError("its description of the columns is damaged") from None

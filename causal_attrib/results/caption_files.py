"""Files that hold many scored captions: JSON Lines with an object each, or CSV and parquet with a row per token.

An object is that of schema version 1 with two keys more, and the tables have the same in other places:

    caption_id: what the caption is called, unique in a file
    batch:      `row`, its place among the `rows` that were to be scored, from 0; `input`, the SHA-256 of their file;
                and `flags`, that of what they were scored with

A table has the columns of `Attribution.to_frame`, `caption_id`, `image` (its path), and `about`: the rest of the object
as JSON, in the first row of each caption only, since it is long. `cost.seconds` is nowhere: it would make every run's
file a different one.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from causal_attrib.errors import InputError
from causal_attrib.io.atomic import replacing
from causal_attrib.io.parsing import PARSER_ERRORS, has_half_characters, parse_json, reason_of, shown
from causal_attrib.results import formats
from causal_attrib.results.attribution import Attribution
from causal_attrib.results.checks import check_record
from causal_attrib.results.formats import for_spreadsheets, read_parquet_table, records_of, records_of_csv

if TYPE_CHECKING:
    import pandas as pd

FORMATS = ("parquet", "csv", "jsonl")
# Captions of a parquet row group, which is read at once.
_AT_ONCE = 512


@dataclass(frozen=True)
class Scored:
    """A scored caption: its name, its place in the batch, and its object of schema version 1."""

    caption_id: str
    batch: dict
    record: dict

    def to_dict(self) -> dict:
        return {"caption_id": self.caption_id, "batch": self.batch, **self.record}

    @classmethod
    def from_dict(cls, record: dict) -> Scored:
        """What `to_dict` was called on.

        Raises:
            ValueError, KeyError: it is no such object.
        """
        record = dict(record)
        one = cls(record.pop("caption_id"), record.pop("batch"), record)
        if not isinstance(one.caption_id, str) or has_half_characters(one.caption_id):
            raise ValueError(f"caption_id is {shown(one.caption_id)}")
        kinds = {"row": int, "rows": int, "input": str, "flags": str}
        if not isinstance(one.batch, dict) or any(type(one.batch.get(name)) is not kinds[name] for name in kinds):
            raise ValueError(f"batch is {shown(one.batch)}")
        if any(name not in record for name in ("image", "model", "settings", "tool")):
            raise ValueError("a part of the object is missing")
        check_record(record)
        return one


def format_of(path: str | os.PathLike) -> str:
    """As `formats.format_of`, of the formats that hold many captions."""
    return formats.format_of(path, FORMATS, of_stream="jsonl", what_for=" for many captions")


def write(path: str | os.PathLike, captions: Iterable[Scored], *, kept: str = "") -> None:
    """Write `captions` to `path`, in their order; they are taken one after the other and need not be in memory.

    `kept` is what to say of the work so far if the disk is full (`io.atomic.cannot_be_written`).
    """
    writers = {"parquet": _write_parquet, "csv": _write_csv, "jsonl": _write_jsonl}
    writer = writers[format_of(path)]
    with replacing(path, kept=kept) as file:
        writer(file, captions)


def read(path: str | os.PathLike) -> Iterator[Scored]:
    """The captions of a file that `write` wrote, one after the other.

    Raises:
        InputError: no such file, or another one.
    """
    readers = {"parquet": _read_parquet, "csv": _read_csv, "jsonl": _read_jsonl}
    reader = readers[format_of(path)]
    if Path(path).is_dir():
        raise InputError(f"{path} is a folder; give a file that `copo score --input` wrote.")
    if not Path(path).is_file():
        raise InputError(f"There is no file {path}; check the path.")
    try:
        yield from reader(Path(path))
    except OSError as error:
        raise InputError(f"{path} cannot be read ({reason_of(error)}); check the path.") from None
    except MemoryError:
        raise InputError(f"{path} does not fit into the memory; read it on a larger machine, or in parts.") from None
    except PARSER_ERRORS:
        raise InputError(
            f"{path} is no file of scored captions, or it is damaged; give one that `copo score --input` wrote."
        ) from None


def _write_jsonl(file: BinaryIO, captions: Iterable[Scored]) -> None:
    for one in captions:
        file.write(_json(one.to_dict()).encode() + b"\n")


def _write_csv(file: BinaryIO, captions: Iterable[Scored]) -> None:
    text = io.TextIOWrapper(file, "utf-8", newline="")
    for place, part in enumerate(_frames(captions)):
        for_spreadsheets(part).to_csv(
            text, index=False, header=not place, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n"
        )
    text.flush()
    text.detach()


def _write_parquet(file: BinaryIO, captions: Iterable[Scored]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    writer: Any = None
    for part in _frames(captions):
        if writer is None:
            kinds = {"Int64": pa.int64(), "int64": pa.int64(), "float64": pa.float64()}
            schema = pa.schema([(name, kinds.get(str(kind), pa.string())) for name, kind in part.dtypes.items()])
            writer = pq.ParquetWriter(file, schema, compression="zstd")
        writer.write_table(pa.Table.from_pandas(part, schema, preserve_index=False))
    writer.close()


def _frames(captions: Iterable[Scored]) -> Iterator[pd.DataFrame]:
    """Tables of some captions each; one without rows if there are none."""
    import pandas as pd

    captions = iter(captions)
    some = list(islice(captions, _AT_ONCE))
    if not some:
        yield _frame(Scored("", {}, Attribution("", []).to_dict()))
    while some:
        yield pd.concat([_frame(one) for one in some], ignore_index=True)
        some = list(islice(captions, _AT_ONCE))


def _frame(one: Scored) -> pd.DataFrame:
    frame = Attribution.from_dict(one.record).to_frame()
    about = {name: value for name, value in one.to_dict().items() if name not in ("caption_id", "tokens")}
    frame.insert(0, "caption_id", one.caption_id)
    frame.insert(1, "image", one.record["image"].get("path") or "")
    return frame.assign(about=[_json(about) if not row else None for row in range(len(frame))])


def _read_jsonl(path: Path) -> Iterator[Scored]:
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            yield Scored.from_dict(parse_json(line))


def _read_csv(path: Path) -> Iterator[Scored]:
    with path.open(encoding="utf-8", newline="") as text:
        yield from map(Scored.from_dict, records_of_csv(text))


def _read_parquet(path: Path) -> Iterator[Scored]:
    for rows in read_parquet_table(path):
        yield from map(Scored.from_dict, records_of(rows))


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)

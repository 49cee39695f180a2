"""Rows of captions that are to be scored, from JSON Lines, a JSON list, CSV or parquet.

    image:    path of the picture, from the folder of the file of rows or from `images` in it
    caption:  what is scored; without it the model writes one
    prompt, question, answer: as for `causal_attrib.score`
    objects:  annotated objects, as a list or in one string with commas
    id:       what the caption is called; without it, the number of the row, from 1

Other columns are left alone.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from causal_attrib.errors import InputError
from causal_attrib.io.rows import Row, read_rows

_TEXTS = ("caption", "prompt", "question", "answer")


@dataclass(frozen=True)
class CaptionRow:
    """A caption that is to be scored. `number` is its place in the file, from 0, and `where` the line it is on."""

    number: int
    caption_id: str
    image: str
    caption: str | None
    prompt: str | None
    question: str | None
    answer: str | None
    objects: tuple[str, ...] | None
    where: str


def read_caption_rows(path: str | os.PathLike) -> list[CaptionRow]:
    """The rows of a file.

    Raises:
        InputError: a file that cannot be read, a row without image, a value that is no text, an id that comes twice.
    """
    folder = Path(path).parent
    rows = [_caption_row(row, number, folder) for number, row in enumerate(_rows(path))]
    seen: dict[str, CaptionRow] = {}
    for row in rows:
        if row.caption_id in seen:
            raise InputError(
                f"{row.where} has the id {row.caption_id!r} of {seen[row.caption_id].where}; ids must differ."
            )
        seen[row.caption_id] = row
    return rows


def sha256_of(path: str | os.PathLike) -> str:
    """What tells one file from another."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def shard_of(groups: Sequence, shard: str) -> list:
    """The groups that the part `shard` of the work has: "2/8" is the second of eight.

    >>> shard_of("abcde", "1/2"), shard_of("abcde", "2/2")
    (['a', 'c', 'e'], ['b', 'd'])

    Raises:
        InputError: it is not two whole numbers of which the first lies between 1 and the second.
    """
    part, slash, parts = shard.partition("/")
    if not (slash and part.isdecimal() and parts.isdecimal() and 1 <= int(part) <= int(parts)):
        raise InputError(f"A shard cannot be {shard!r}; write 1/8 for the first of eight, and 8/8 for the last.")
    return list(groups[int(part) - 1 :: int(parts)])


def _rows(path: str | os.PathLike) -> list[Row]:
    suffix = Path(path).suffix.lower()
    if suffix not in (".csv", ".parquet"):
        return read_rows(path)
    import pandas as pd
    import pyarrow as pa

    try:
        if suffix == ".parquet":
            frame = pd.read_parquet(path)
        else:
            frame = pd.read_csv(path, dtype=str, keep_default_na=False, na_values=[""])
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error}); check the path.") from None
    except (ValueError, pa.ArrowException) as error:
        reason = next(iter(str(error).splitlines()), "no message")
        raise InputError(f"{path} is no {suffix[1:]} file that can be read ({reason}); mend the file.") from None
    if frame.empty:
        raise InputError(f"{path} is empty; give a file with rows.")
    values = [{name: _plain(value) for name, value in row.items()} for row in frame.to_dict("records")]
    first = 2 if suffix == ".csv" else 1  # a CSV file's first line names the columns
    return [Row(value, os.fspath(path), line) for line, value in enumerate(values, first)]


def _plain(value: object) -> object:
    """A cell as JSON would hold it; an empty one is None."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    return None if isinstance(value, float) and value != value else value


def _caption_row(row: Row, number: int, folder: Path) -> CaptionRow:
    given = Row({name: value for name, value in row.value.items() if value is not None}, row.file, row.line)
    image = given.text(given.need(("image",)))
    texts = {name: given.text(name) if name in given.value else None for name in _TEXTS}
    caption_id = given.value.get("id", number + 1)
    if isinstance(caption_id, float) and caption_id.is_integer():  # pandas has no whole numbers beside empty cells
        caption_id = int(caption_id)
    if isinstance(caption_id, bool) or not isinstance(caption_id, (int, str)) or caption_id == "":
        raise InputError(f"{row.where} has {caption_id!r} under 'id'; give a number or a string.")
    return CaptionRow(
        number=number,
        caption_id=str(caption_id),
        image=str(_picture(folder, image)),
        **texts,
        objects=_objects(given),
        where=row.where,
    )


def _picture(folder: Path, image: str) -> Path:
    beside = folder / "images" / image
    return beside if beside.is_file() and not (folder / image).is_file() else folder / image


def _objects(row: Row) -> tuple[str, ...] | None:
    value = row.value.get("objects")
    if isinstance(value, str):
        value = value.split(",")
    if value is not None and not (isinstance(value, list) and all(isinstance(name, str) for name in value)):
        raise InputError(f'{row.where} has {value!r} under \'objects\'; write a list such as ["dog", "cat"].')
    return None if value is None else tuple(name.strip() for name in value)

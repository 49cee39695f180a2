"""Rows from wherever a user has them: what `io.rows` reads, and besides

captions*.jsonl        all files that a pattern names
a folder               of files of rows, or of pictures alone, which are then what there is to describe
name:split             a data set of the Hugging Face hub
https://, s3://, gs:// files at addresses (`io.remote`)
"""

from __future__ import annotations

import glob
import hashlib
import itertools
import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from causal_attrib.errors import InputError
from causal_attrib.io import remote
from causal_attrib.io.parsing import reason_of
from causal_attrib.io.rows import CAPTIONS, Row, fault_of, files_of, folder_of, read_rows, sha256_of
from causal_attrib.io.tables import saved_files

_ROWS = (".jsonl", ".json", ".csv", ".parquet", ".jsonl.gz", ".json.gz", ".csv.gz", ".parquet.gz")
_PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff")
# A name of the hub, and a split of it, perhaps of a slice (`train[:100]`).
_OF_HUB = re.compile(r"(?P<name>[\w.-]+(?:/[\w.-]+)?)(?:@(?P<config>[\w.-]+))?:(?P<split>[\w.-]+(?:\[[^]]*\])?)")


@dataclass(frozen=True)
class Source:
    """Rows, where the paths of pictures in each of them start, what tells this input from another, and its files."""

    rows: Sequence[tuple[Row, str | Path]]
    sha256: str
    files: list[Path]
    fetches: bool = False


def read_source(source: str | os.PathLike, *, limit: int | None = None) -> Source:
    """The rows that a source names. Rows with strings that are no text are among them, with their `fault`.

    Args:
        limit: of a data set of the hub, no more rows than these are fetched.

    Raises:
        InputError: there is nothing, it cannot be read, or it holds no rows.
    """
    named = os.fspath(source)
    if remote.is_address(named):
        return _at_address(named)
    if not os.path.lexists(named):
        if found := _OF_HUB.fullmatch(named):
            return _of_hub(found["name"], found["config"], found["split"], limit)
        if any(sign in named for sign in "*?["):
            files = [Path(path) for path in sorted(glob.glob(named, recursive=True)) if os.path.isfile(path)]
            if not files:
                raise InputError(f"No file is named like {named}; check the pattern.")
            return _of_files(files)
    if os.path.isdir(named) and not (Path(named) / CAPTIONS).is_file() and saved_files(Path(named)) is None:
        return _of_folder(Path(named))
    folder: str | Path = folder_of(source)
    rows = read_rows(source, keep_faulty=True)
    return Source([(row, folder) for row in rows], sha256_of(source), files_of(source))


def _of_files(files: list[Path]) -> Source:
    rows = [(row, folder_of(file)) for file in files for row in read_rows(file, keep_faulty=True)]
    return Source(rows, _sum(sha256_of(file) for file in files), files)


def _of_folder(folder: Path) -> Source:
    there = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    if files := [path for path in there if path.name.lower().endswith(_ROWS)]:
        return _of_files(files)
    pictures = [path for path in there if path.suffix.lower() in _PICTURES]
    if not pictures:
        files_of(folder)  # raises
    rows = [Row({"image": path.name, "id": path.name}, str(folder), n, "picture") for n, path in enumerate(pictures, 1)]
    # The pictures themselves are in each result by their SHA-256.
    return Source([(row, folder) for row in rows], _sum(path.name for path in pictures), pictures)


def _at_address(address: str) -> Source:
    rows: list[tuple[Row, str | Path]] = []
    sums, files = [], []
    for one in remote.matches(address):
        copy = remote.rows_file(one)
        files.append(copy)
        sums.append(sha256_of(copy))
        rows += [(replace(row, file=one), one.rpartition("/")[0]) for row in read_rows(copy, keep_faulty=True)]
    if not rows:
        raise InputError(f"No file is named like {address}; check the pattern.")
    return Source(rows, sums[0] if len(sums) == 1 else _sum(sums), [], fetches=True)


def _of_hub(name: str, config: str | None, split: str, limit: int | None) -> Source:
    try:
        import datasets
    except ImportError:
        raise InputError(
            f"There is no file {name}:{split}, and a data set of the hub needs datasets; install it with pip install "
            "datasets, or check the path."
        ) from None
    try:
        # Row by row, since few may be wanted; a slice of a split has to be fetched whole.
        data = datasets.load_dataset(name, config, split=split, streaming="[" not in split)
    except Exception as error:  # of the hub, the network, the builder
        raise InputError(
            f"There is no file {name}:{split}, and the hub gives no data set of this name ({reason_of(error)}); check "
            "the name, or give a folder that save_to_disk of datasets wrote."
        ) from None
    rows = [
        Row(value, f"{name}:{split}", number, "row") for number, value in enumerate(plain_rows(data, limit), start=1)
    ]
    if not rows:
        raise InputError(f"{name}:{split} is empty; give a data set with rows.")
    kept: list[tuple[Row, str | Path]] = [(replace(row, fault=fault_of(row)), "") for row in rows]
    return Source(kept, _sum(json.dumps(row.value, default=_digest, sort_keys=True) for row in rows), [])


def plain_rows(data: Any, limit: int | None = None) -> Iterator[dict[str, Any]]:
    """Rows of a data set of `datasets`, whose pictures stay the bytes that they are and class labels become names."""
    import datasets

    labels = {}
    for column, feature in (data.features or {}).items():
        if isinstance(feature, datasets.Image):
            data = data.cast_column(column, datasets.Image(decode=False))
        elif isinstance(feature, datasets.ClassLabel):
            labels[column] = feature
    for row in itertools.islice(data, limit):
        for column, feature in labels.items():
            number = row[column]
            row[column] = None if number is None or number < 0 else feature.int2str(number)
        yield row


def _digest(value: object) -> str:
    return hashlib.sha256(value).hexdigest() if isinstance(value, bytes) else repr(value)


def _sum(parts: Any) -> str:
    return hashlib.sha256("".join(hashlib.sha256(part.encode()).hexdigest() for part in parts).encode()).hexdigest()

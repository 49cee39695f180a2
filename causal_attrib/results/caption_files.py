"""Files that hold many scored captions: JSON Lines with an object each, or two tables as CSV or parquet.

An object is that of schema version 1 with two keys more:

    caption_id: what the caption is called, unique in a file
    batch:      `row`, its place among the `rows` that were to be scored, from 0; `input`, the SHA-256 of their file;
                and `flags`, that of what they were scored with

`scores.parquet` has a row per token: the columns of `Attribution.to_frame`, `caption_id` and `image` (its path). Beside
it `scores.captions.parquet` has a row per caption (`caption_tables`). A folder holds the same tables in parts, for
engines that read many files at once:

    scores/manifest.json, scores/captions/part-00000.parquet, scores/tokens/part-00000.parquet, ...

`cost.seconds` is nowhere: it would make every run's file a different one. Files of version 1, which was one table with
all else in its column `about`, are read as well.
"""

from __future__ import annotations

import csv
import itertools
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from causal_attrib.errors import InputError
from causal_attrib.io.atomic import cannot_be_written, check_writable, replacing
from causal_attrib.io.json_files import read_json, to_json
from causal_attrib.io.parsing import PARSER_ERRORS, has_half_characters, parse_json, reason_of, shown
from causal_attrib.results import formats
from causal_attrib.results.caption_tables import (
    STRINGS,
    VERSION,
    Block,
    blocks_of,
    captions_of,
    check_columns,
    check_finite,
    check_version,
    records_of,
    with_score_ids,
)
from causal_attrib.results.checks import check_record
from causal_attrib.results.table_parsing import blocks_of_lines, csv_blocks
from causal_attrib.results.table_texts import csv_header, csv_lines, json_lines

if TYPE_CHECKING:
    import pandas as pd

FORMATS = ("parquet", "csv", "jsonl")
MANIFEST = "manifest.json"
# Of a part of a folder, at most.
_BLOCKS_PER_PART = 16


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
        is_batch = isinstance(one.batch, dict) and all(type(one.batch.get(name)) is kinds[name] for name in kinds)
        if not is_batch or has_half_characters(one.batch):
            raise ValueError(f"batch is {shown(one.batch)}")
        if any(name not in record for name in ("image", "model", "settings", "tool")):
            raise ValueError("a part of the object is missing")
        check_record(record)
        return one


def format_of(path: str | os.PathLike) -> str:
    """As `formats.format_of`, of the formats that hold many captions; "folder" for a folder (`is_folder`)."""
    if is_folder(path):
        return "folder"
    return formats.format_of(path, FORMATS, of_stream="jsonl", what_for=" for many captions")


def is_folder(path: str | os.PathLike) -> bool:
    """Whether a path names a folder of scored captions: one that is there, or that is to be (it ends in /)."""
    return os.fspath(path).endswith(("/", os.sep)) or Path(path).is_dir()


def captions_path(path: str | os.PathLike) -> Path:
    """Where the table of captions is that belongs to a table of tokens.

    >>> captions_path("out/scores.parquet").name
    'scores.captions.parquet'
    """
    path = Path(path)
    return path.with_name(f"{path.stem}.captions{path.suffix}")


def check_tables(path: str | os.PathLike) -> None:
    """Raises InputError unless the files that `write` makes can be written, which is tried."""
    path = Path(path)
    if format_of(path) != "jsonl" and path.stem.endswith(".captions"):
        whole = path.with_name(path.stem.removesuffix(".captions") + path.suffix)
        raise InputError(f"{path} is the name of the table of captions beside {whole.name}; choose another name.")
    for file in files_at(path):
        check_writable(file)
    for beside in files_at(path)[1:]:
        if beside.is_file() and not _is_of_captions(beside):
            raise InputError(
                f"{beside} would be replaced by the table of captions beside {path.name}, and copo did not write it; "
                "choose another name for the output."
            )


def _is_of_captions(path: Path) -> bool:
    """Whether a file is a table of captions, of any version."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        if path.suffix.lower() == ".csv":
            with path.open(encoding="utf-8", newline="") as text:
                names = next(csv.reader(text), [])
        else:
            names = pq.read_schema(path).names
    except (*PARSER_ERRORS, pa.ArrowException):
        return False
    return {"caption_id", "about", "version"} <= {*names}


def files_at(path: str | os.PathLike) -> list[Path]:
    """The files that `write` puts at a path."""
    return [Path(path), captions_path(path)] if format_of(path) in ("parquet", "csv") else [Path(path)]


def write(path: str | os.PathLike, captions: Iterable[Scored], *, kept: str = "") -> None:
    """Write `captions` to `path`, in their order; they are taken one after the other and need not be in memory.

    `kept` is what to say of the work so far if the disk is full (`io.atomic.cannot_be_written`).
    """
    write_blocks(path, blocks_of(one.to_dict() for one in captions), kept=kept)


def write_blocks(path: str | os.PathLike, blocks: Iterable[Block], *, kept: str = "") -> None:
    """The same of blocks; each but the last has `AT_ONCE` captions, so that equal captions make equal files."""
    format = format_of(path)
    if format == "folder":
        _write_folder(Path(path), blocks, kept)
    elif format == "jsonl":
        with replacing(path, kept=kept) as file:
            for block in blocks:
                file.writelines(json_lines(block))
    else:
        writer = {"parquet": _write_parquet, "csv": _write_csv}[format]
        # The file of tokens is put in place last, and one from before is gone by then: no reader ever sees the tokens
        # of one run beside the captions of another.
        with replacing(path, kept=kept) as tokens, replacing(captions_path(path), kept=kept) as table:
            writer(tokens, table, blocks)
            tokens.flush()
            with suppress(OSError):
                if Path(path).is_file() and not Path(path).is_symlink():
                    Path(path).unlink()


def read(path: str | os.PathLike, *, tokens: bool = True) -> Iterator[Scored]:
    """The captions of a file or folder that `write` wrote, one after the other.

    Args:
        tokens: without them `tokens` of each is empty, which is much quicker for tables.

    Raises:
        InputError: no such file, or another one.
    """
    for blocks in _told(path, _blocks(path, tokens=tokens)):
        yield from _told(path, map(Scored.from_dict, blocks))


def read_blocks(path: str | os.PathLike) -> Iterator[Block]:
    """The same in blocks, some captions each. Tables are handed on as they stand.

    Raises:
        InputError: no such file, or another one.
    """
    format = _format_there(path)
    if format == "jsonl":
        with Path(path).open("rb") as lines:
            yield from _told(path, blocks_of_lines(lines, lambda record: Scored.from_dict(record).to_dict()))
    elif not _is_version_1(path, format):
        yield from _told(path, map(with_score_ids, _table_blocks(path, format)))
    else:
        yield from blocks_of(one.to_dict() for one in read(path))


def captions_frame(path: str | os.PathLike) -> pd.DataFrame:
    """The table of captions of a file or folder, one row each, as pandas has it."""
    import pandas as pd

    format = _format_there(path)
    if format != "jsonl" and not _is_version_1(path, format):
        blocks = _told(path, _table_blocks(path, format, tokens=False))
    else:
        blocks = read_blocks(path)
    return pd.concat([block.captions.to_pandas() for block in blocks], ignore_index=True)


def _format_there(path: str | os.PathLike) -> str:
    format = format_of(path)
    if format == "folder":
        if not (Path(path) / MANIFEST).is_file():
            raise InputError(f"{path} is a folder without {MANIFEST}; give a file or folder that `copo score` wrote.")
    elif not Path(path).is_file():
        raise InputError(f"There is no file {path}; check the path.")
    elif format != "jsonl" and Path(path).stem.endswith(".captions"):
        tokens = Path(path).with_name(Path(path).stem.removesuffix(".captions") + Path(path).suffix)
        if tokens.is_file():
            raise InputError(f"{path} is the table of captions beside {tokens.name}; give {tokens}.")
    return format


def _told(path: str | os.PathLike, found: Iterator[Any]) -> Iterator[Any]:
    """The same, with what goes wrong in one sentence."""
    import pyarrow as pa

    try:
        yield from found
    except OSError as error:
        raise InputError(f"{path} cannot be read ({reason_of(error)}); check the path.") from None
    except MemoryError:
        raise InputError(f"{path} does not fit into the memory; read it on a larger machine, or in parts.") from None
    except InputError:
        raise
    except (*PARSER_ERRORS, pa.ArrowException):
        raise InputError(
            f"{path} is no file of scored captions, or it is damaged; give one that `copo score --input` wrote."
        ) from None


def _blocks(path: str | os.PathLike, *, tokens: bool) -> Iterator[Iterator[dict]]:
    """Objects of captions, some at a time."""
    format = _format_there(path)
    if format == "jsonl":
        with Path(path).open(encoding="utf-8") as lines:
            yield (parse_json(line) for line in lines)
    elif _is_version_1(path, format):
        yield formats.records_of_version_1(Path(path), format)
    else:
        for block in _table_blocks(path, format, tokens=tokens):
            yield (
                records_of(block)
                if tokens
                else ({**one, "tokens": []} for one in captions_of(block.captions.to_pylist()))
            )


# -- parquet ----------------------------------------------------------------------------------------------------------


class _ParquetPair:
    """Both tables of one part, open for writing."""

    def __init__(self, tokens: BinaryIO, captions: BinaryIO):
        self._files = (captions, tokens)
        self._writers: list[Any] = []

    def add(self, block: Block) -> None:
        import pyarrow.parquet as pq

        tables = (block.captions, block.tokens)
        if not self._writers:
            self._writers = [
                pq.ParquetWriter(file, table.schema, compression="zstd")
                for file, table in zip(self._files, tables, strict=True)
            ]
        for writer, table in zip(self._writers, tables, strict=True):
            # A row group each, of one size: `Block` for `Block` they are read again.
            writer.write_table(table, row_group_size=max(table.num_rows, 1))

    def close(self) -> None:
        for writer in self._writers:
            writer.close()


def _write_parquet(tokens: BinaryIO, captions: BinaryIO, blocks: Iterable[Block]) -> None:
    pair = _ParquetPair(tokens, captions)
    for block in blocks:
        pair.add(block)
    pair.close()


def _table_blocks(path: str | os.PathLike, format: str, *, tokens: bool = True) -> Iterator[Block]:
    import pyarrow.parquet as pq

    if format == "csv":
        for block in csv_blocks(Path(path), _captions_there(Path(path))):
            for version in block.captions.column("version").unique().to_pylist():
                check_version(version, path)
            yield block
        return
    for of_tokens, of_captions, count in _pairs(Path(path), format):
        with ExitStack() as stack:
            captions, table = (stack.enter_context(pq.ParquetFile(file)) for file in (of_captions, of_tokens))
            for file in (captions, table):
                check_version(_version_of(file), path)
            if captions.num_row_groups != table.num_row_groups:
                raise ValueError("the tables do not belong together")
            if count not in (None, captions.metadata.num_rows):
                raise ValueError("a part has not the captions that the manifest says")
            check_columns(captions.schema_arrow.names, table.schema_arrow.names)
            for group in range(captions.num_row_groups):
                names = None if tokens else ["caption_id"]
                block = Block(captions.read_row_group(group), table.read_row_group(group, columns=names))
                check_finite(block)
                yield block


def _version_of(file: Any) -> int:
    return int((file.schema_arrow.metadata or {}).get(b"copo_tables", b"0"))


def _is_version_1(path: str | os.PathLike, format: str) -> bool:
    """Whether a table holds all there is."""
    if format == "csv":
        with Path(path).open("rb") as file:
            return b'"about"' in file.readline()
    if format == "parquet":
        return formats.has_column(path, "about")
    return False


def _pairs(path: Path, format: str) -> Iterator[tuple[Path, Path, int | None]]:
    """Files of tokens and of captions that belong together, and how many captions there are if that is known."""
    if format == "folder":
        manifest = read_json(path / MANIFEST, "score again")
        check_version(manifest.get("version"), path)
        if manifest["captions"] != sum(part["captions"] for part in manifest["parts"]):
            raise ValueError("the manifest names not all parts")
        for part in manifest["parts"]:
            name = Path(part["file"]).name
            yield path / "tokens" / name, path / "captions" / name, part["captions"]
    else:
        yield path, _captions_there(path), None


def _captions_there(path: Path) -> Path:
    beside = captions_path(path)
    if not beside.is_file():
        if formats.holds_one(path):
            raise InputError(
                f"{path} holds one caption, of copo score IMAGE, and not a file of them, of copo score --input; "
                "copo score IMAGE --out page.html draws the report of one."
            )
        raise InputError(f"{path} has its captions in {beside.name}, which is not beside it; put both into one folder.")
    return beside


# -- a folder of parts ------------------------------------------------------------------------------------------------


def check_folder(path: str | os.PathLike) -> None:
    """Raises InputError unless a folder of scored captions can be put there: nothing else's files are in the way."""
    path = Path(path)
    if path.is_dir() and not _is_ours(path):
        raise InputError(f"{path} is a folder with other files in it; choose another place for the output.")
    if path.exists() and not path.is_dir():
        raise InputError(f"{path} is a file, and the output is to be a folder; choose another place.")
    try:
        path.parent.joinpath(f".{path.name}.part").mkdir(exist_ok=True)
        path.parent.joinpath(f".{path.name}.part").rmdir()
    except FileExistsError:
        pass
    except OSError as error:
        if not path.parent.is_dir():
            raise cannot_be_written(path, error) from None


def _is_ours(folder: Path) -> bool:
    """Whether a folder holds scored captions and nothing else, or nothing."""
    names = {one.name for one in folder.iterdir()}
    if not names:
        return True
    try:
        return names == {MANIFEST, "captions", "tokens"} and "parts" in read_json(folder / MANIFEST)
    except PARSER_ERRORS:
        return False


def _write_folder(path: Path, blocks: Iterable[Block], kept: str) -> None:
    check_folder(path)
    beside, old = (path.with_name(f".{path.name}.{suffix}") for suffix in ("part", "old"))
    try:
        for left in (beside, old):
            shutil.rmtree(left, ignore_errors=True)
        for name in ("captions", "tokens"):
            (beside / name).mkdir(parents=True)
        parts: list[dict[str, Any]] = []
        blocks = iter(blocks)
        while some := list(itertools.islice(blocks, 1)):
            name = f"part-{len(parts):05d}.parquet"
            captions = tokens = 0
            with (beside / "tokens" / name).open("wb") as of_tokens, (beside / "captions" / name).open("wb") as table:
                pair = _ParquetPair(of_tokens, table)
                for block in itertools.chain(some, itertools.islice(blocks, _BLOCKS_PER_PART - 1)):
                    pair.add(block)
                    captions, tokens = captions + len(block), tokens + block.tokens.num_rows
                pair.close()
            parts.append({"file": name, "captions": captions, "tokens": tokens})
        manifest = {
            "version": VERSION,
            "captions": sum(part["captions"] for part in parts),
            "tokens": sum(part["tokens"] for part in parts),
            "parts": parts,
        }
        # Written last: a folder that has it is whole.
        (beside / MANIFEST).write_text(to_json(manifest), encoding="utf-8")
        if path.is_dir():
            path.rename(old)
        beside.rename(path)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise cannot_be_written(path, error, kept) from None
    finally:
        shutil.rmtree(beside, ignore_errors=True)


# -- CSV --------------------------------------------------------------------------------------------------------------


def _write_csv(tokens: BinaryIO, captions: BinaryIO, blocks: Iterable[Block]) -> None:
    for place, block in enumerate(blocks):
        for file, table in ((captions, block.captions), (tokens, block.tokens)):
            if not place:
                file.write(csv_header(table))
            file.write(csv_lines(table, formats.OF_STRANGERS + STRINGS))

"""Put the shards of a scored file together again: the same file, byte for byte, as one run would have written."""

from __future__ import annotations

import functools
import heapq
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from causal_attrib.errors import InputError
from causal_attrib.io.atomic import check_not_input
from causal_attrib.io.failures import Failure, read_failures, write_failures
from causal_attrib.results import caption_files
from causal_attrib.results.caption_tables import AT_ONCE, Block, joined, starts_of


@dataclass(frozen=True)
class _Placed:
    """A caption of a part: the block that it stands in, and where. A row that failed has no block."""

    row: int
    part: str
    block: Block | None = None
    index: int = 0
    starts: Sequence[int] = ()


def merge(output: str | os.PathLike, parts: Sequence[str | os.PathLike]) -> tuple[int, list[Failure]]:
    """Write the captions of all `parts` to `output`, in the order of the input that they were scored from.

    Tables are put together as they stand, without an object per caption.

    Returns:
        How many captions there are, and the rows that failed, which are written to `OUTPUT.failed.jsonl`.

    Raises:
        InputError: a row is missing or there twice, or parts were scored from other input or with other settings.
    """
    # `part*.parquet` names the tables of captions too, which are read with the tables of tokens that they belong to.
    given = {os.path.abspath(part) for part in parts}
    beside = {os.path.abspath(file) for part in given if not caption_files.is_folder(part) for file in _beside(part)}
    parts = [part for part in parts if os.path.abspath(part) not in beside]
    if caption_files.format_of(output) == "folder":
        caption_files.check_folder(output)
    else:
        caption_files.check_tables(output)
    written = [str(file) for file in caption_files.files_at(output)]
    for file in written:
        check_not_input(file, [*parts, *(one for part in parts for one in _beside(part))])
    failures = sorted((failure for part in parts for failure in read_failures(part)), key=lambda failure: failure.row)
    count = 0

    def counted() -> Iterator[Block]:
        nonlocal count
        for block in _joined(_checked(parts, [failure.row for failure in failures])):
            count += len(block)
            yield block

    caption_files.write_blocks(output, counted())
    write_failures(output, failures)
    return count, failures


def _beside(part: str | os.PathLike) -> list[str]:
    try:
        return [os.fspath(file) for file in caption_files.files_at(part)[1:]]
    except InputError:
        return []  # told when it is read


def _joined(placed: Iterator[_Placed]) -> Iterator[Block]:
    """The captions in blocks of the size that a run writes."""
    slices: list[tuple[Block, int, int]] = []
    starts: dict[int, Sequence[int]] = {}
    size = 0
    for one in placed:
        if one.block is None:
            continue
        starts[id(one.block)] = one.starts
        if slices and slices[-1][0] is one.block and slices[-1][2] == one.index:
            slices[-1] = (one.block, slices[-1][1], one.index + 1)
        else:
            slices.append((one.block, one.index, one.index + 1))
        size += 1
        if size == AT_ONCE:
            yield joined(slices, starts)
            slices, starts, size = [], {}, 0
    if slices:
        yield joined(slices, starts)


def _checked(parts: Sequence[str | os.PathLike], failed: Sequence[int]) -> Iterator[_Placed]:
    """Captions in order, after a look whether each row is there once and all were scored alike."""
    rows = heapq.merge(
        *(_placed(part) for part in parts), (_Placed(row, "") for row in failed), key=lambda one: one.row
    )
    expected, first, first_part, in_all = 0, None, "", 0
    for one in rows:
        if one.row < expected:
            raise InputError(
                f"Row {one.row + 1} of the input is there twice, again in {one.part}; give each shard once."
            )
        if one.row > expected:
            raise InputError(f"Row {expected + 1} of the input is in no part; give all the shards.")
        expected += 1
        if one.block is None:
            continue
        about = one.block.captions.column("about")[one.index].as_py()
        if first is None:
            first, first_part = about, one.part
            in_all = json.loads(about)["batch"]["rows"]
        elif about != first:
            _check_alike(first, first_part, about, one.part)
        yield one
    if first is None:
        raise InputError("No part holds a scored caption, so there is nothing to merge.")
    if expected < in_all:
        raise InputError(f"Row {expected + 1} of the input is in no part; give all the shards.")


def _placed(part: str | os.PathLike) -> Iterator[_Placed]:
    for block in caption_files.read_blocks(part):
        try:
            starts = starts_of(block)
        except ValueError:
            raise InputError(
                f"{part} is damaged (its two tables do not fit each other); score the shard again."
            ) from None
        for index, row in enumerate(block.captions.column("row").to_pylist()):
            yield _Placed(row, os.fspath(part), block, index, starts)


def _check_alike(first: str, first_part: str, one: str, part: str) -> None:
    for name, value in _alike(one).items():
        if value != _alike(first)[name]:
            raise InputError(
                f"{part} has the {name} {value!r} and {first_part} has {_alike(first)[name]!r}; "
                "merge what was scored from the same file with the same flags."
            )


@functools.lru_cache(maxsize=64)
def _alike(about: str) -> dict:
    """What all captions of a file share. Not the device: shards may run on machines with other ones."""
    record = json.loads(about)
    # Outcome, number of samples and how they are drawn may differ from row to row, where they are chosen by what a row
    # has; what was asked for is in the flags.
    chosen = ("samples", "estimator", "coupling")
    settings = {name: value for name, value in record["settings"].items() if name not in chosen}
    batch = {name: record["batch"][name] for name in ("input", "rows", "flags")}
    return settings | {**record["model"], "device": None} | record["tool"] | batch

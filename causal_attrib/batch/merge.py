"""Put the shards of a scored file together again: the same file, byte for byte, as one run would have written."""

from __future__ import annotations

import heapq
import os
from collections.abc import Iterator, Sequence

from causal_attrib.errors import InputError
from causal_attrib.io.atomic import check_not_input, check_writable
from causal_attrib.io.failures import Failure, read_failures, write_failures
from causal_attrib.results import caption_files
from causal_attrib.results.caption_files import Scored


def merge(output: str | os.PathLike, parts: Sequence[str | os.PathLike]) -> tuple[int, list[Failure]]:
    """Write the captions of all `parts` to `output`, in the order of the input that they were scored from.

    Returns:
        How many captions there are, and the rows that failed, which are written to `OUTPUT.failed.jsonl`.

    Raises:
        InputError: a row is missing or there twice, or parts were scored from other input or with other settings.
    """
    caption_files.format_of(output)
    check_writable(output)
    check_not_input(output, parts)
    failures = sorted((failure for part in parts for failure in read_failures(part)), key=lambda failure: failure.row)
    count = 0

    def counted() -> Iterator[Scored]:
        nonlocal count
        for one in _checked(parts, [failure.row for failure in failures]):
            count += 1
            yield one

    caption_files.write(output, counted())
    write_failures(output, failures)
    return count, failures


def _checked(parts: Sequence[str | os.PathLike], failed: Sequence[int]) -> Iterator[Scored]:
    """Captions in order, after a look whether each row is there once and all were scored alike."""
    rows = heapq.merge(*(_placed(part) for part in parts), ((row, "", None) for row in failed), key=lambda one: one[0])
    expected, first, first_part = 0, None, ""
    for row, part, one in rows:
        if row < expected:
            raise InputError(f"Row {row + 1} of the input is there twice, again in {part}; give each shard once.")
        if row > expected:
            raise InputError(f"Row {expected + 1} of the input is in no part; give all the shards.")
        expected += 1
        if one is None:
            continue
        if first is None:
            first, first_part = one, part
        _check_alike(first, first_part, one, part)
        yield one
    if first is None:
        raise InputError("No part holds a scored caption, so there is nothing to merge.")
    if expected < first.batch["rows"]:
        raise InputError(f"Row {expected + 1} of the input is in no part; give all the shards.")


def _placed(part: str | os.PathLike) -> Iterator[tuple[int, str, Scored]]:
    for one in caption_files.read(part):
        yield one.batch["row"], os.fspath(part), one


def _check_alike(first: Scored, first_part: str, one: Scored, part: str) -> None:
    for name, value in _alike(one).items():
        if value != _alike(first)[name]:
            raise InputError(
                f"{part} has the {name} {value!r} and {first_part} has {_alike(first)[name]!r}; "
                "merge what was scored from the same file with the same flags."
            )


def _alike(one: Scored) -> dict:
    """What all captions of a file share. Not the device: shards may run on machines with other ones."""
    record = one.record
    # Outcome and number of samples may differ from row to row, where they are chosen by what a row has.
    settings = {name: value for name, value in record["settings"].items() if name != "samples"}
    batch = {name: one.batch[name] for name in ("input", "rows", "flags")}
    return settings | {**record["model"], "device": None} | record["tool"] | batch

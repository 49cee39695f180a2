"""Rows of captions that are to be scored, from any file that `io.rows` reads.

    image:    path of the picture, from the folder of the file of rows or from `images` in it; or the picture itself
    caption:  what is scored; without it the model writes one
    prompt, question, answer: as for `causal_attrib.score`
    objects:  annotated objects, as a list or in one string with commas
    id:       what the caption is called; without it, the number of the row, from 1

Other columns are left alone.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from causal_attrib.errors import InputError
from causal_attrib.io.parsing import cut, one_line, shown
from causal_attrib.io.pictures import Picture, read_picture
from causal_attrib.io.row_pictures import PictureSource, name_of
from causal_attrib.io.rows import Row, fault_of
from causal_attrib.io.sources import read_source

# Captions of a group, at most: what a kill can cost. As many pictures as a GPU holds at once (`engine.budget`).
MOST_TOGETHER = 16

_TEXTS = ("caption", "prompt", "question", "answer")
# Where other files have what they say of a picture.
_CAPTIONS_ELSEWHERE = ("captions", "text", "response", "completion", "chosen")


@dataclass(frozen=True)
class CaptionRow:
    """A caption that is to be scored. `number` is its place in the file, from 0, and `where` the line it is on.

    `picture` is what `read_picture` takes, and `image` what it is called. A row with a `fault` cannot be scored.
    """

    number: int
    caption_id: str
    picture: PictureSource | Picture
    image: str
    caption: str | None
    prompt: str | None
    question: str | None
    answer: str | None
    objects: tuple[str, ...] | None
    where: str
    fault: str | None = None


@dataclass(frozen=True)
class Captions:
    """The rows of an input, what tells it from another, its files, and whether its pictures may be fetched."""

    rows: list[CaptionRow]
    sha256: str
    files: list[Path]
    fetches: bool


def read_captions(source: str | os.PathLike, *, limit: int | None = None) -> Captions:
    """What a source names (`io.sources`).

    Raises:
        InputError: as `read_caption_rows`.
    """
    found = read_source(source, limit=limit)
    rows = _with_ids([_caption_row(row, number, folder) for number, (row, folder) in enumerate(found.rows)])
    return Captions(rows, found.sha256, found.files, found.fetches)


def read_caption_rows(path: str | os.PathLike) -> list[CaptionRow]:
    """The rows of a file.

    Raises:
        InputError: a file that cannot be read, a row without image or with several, a value that is no text, a caption
            under another name, an id that comes twice.
    """
    return read_captions(path).rows


def caption_rows(rows: Iterable[Mapping[str, Any]], what: str, *, first: int = 0) -> list[CaptionRow]:
    """Rows that are in memory, whose pictures may be PIL images, arrays or tensors as well.

    Args:
        what: what an error calls all of them.
        first: the number of the first.

    Raises:
        InputError: as `read_caption_rows`.
    """
    found = []
    for number, given in enumerate(rows, start=first):
        if not isinstance(given, Mapping):
            raise InputError(f"{what} row {number + 1} is {shown(given)}; give a dictionary with image and caption.")
        value, pixels = dict(given), None
        if isinstance(value.get("image"), os.PathLike):
            value["image"] = os.fspath(value["image"])
        if not isinstance(value.get("image"), (str, dict, list, type(None))):
            pixels, value["image"] = value["image"], "in memory"
        row = Row(value, what, number + 1, "row")
        one = _caption_row(replace(row, fault=fault_of(row)), number, "")
        if pixels is not None and one.fault is None:
            picture = read_picture(pixels)
            one = replace(one, picture=picture, image=f"a picture in memory ({picture.sha256[:16]})")
        found.append(one)
    return _with_ids(found)


def groups_of(rows: Sequence[CaptionRow], asked: Mapping[str, Any]) -> list[list[CaptionRow]]:
    """Rows in groups; those of one picture and prompt stand together, in the order in which they first come.

    Args:
        asked: what rows that lack a prompt are asked.
    """
    alike: dict[tuple, list[CaptionRow]] = {}
    for row in rows:
        alike.setdefault((row.image, row.prompt or asked.get("prompt")), []).append(row)
    in_order = list(itertools.chain(*alike.values()))
    return [in_order[start : start + MOST_TOGETHER] for start in range(0, len(in_order), MOST_TOGETHER)]


def _with_ids(rows: list[CaptionRow]) -> list[CaptionRow]:
    """The same rows, after a look whether their ids differ."""
    seen: dict[str, CaptionRow] = {}
    for row in rows:
        if row.caption_id in seen:
            raise InputError(
                f"{row.where} has the id {row.caption_id!r} of {seen[row.caption_id].where}; ids must differ."
            )
        seen[row.caption_id] = row
    return rows


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


def _caption_row(row: Row, number: int, folder: str | Path) -> CaptionRow:
    given = Row({name: value for name, value in row.value.items() if value is not None}, row.file, row.line, row.unit)
    caption_id = given.value.get("id", number + 1)
    if isinstance(caption_id, float) and caption_id.is_integer():  # pandas has no whole numbers beside empty cells
        caption_id = int(caption_id)
    if isinstance(caption_id, bool) or not isinstance(caption_id, (int, str)) or caption_id == "":
        raise InputError(f"{row.where} has {shown(caption_id)} under 'id'; give a number or a string.")
    if row.fault is not None:
        image = cut(one_line(str(given.value.get("image", ""))))
        called = one_line(str(caption_id))
        return CaptionRow(number, called, "", image, None, None, None, None, None, row.where, row.fault)
    picture = row.picture(folder)
    if "caption" not in given.value and (elsewhere := given.first(_CAPTIONS_ELSEWHERE)):
        raise InputError(
            f"{row.where} has no key 'caption', but has {elsewhere!r}: rename that to 'caption' if it is what is to be "
            "scored, and to another name if the model is to write the caption."
        )
    return CaptionRow(
        number=number,
        caption_id=str(caption_id),
        picture=picture,
        image=name_of(picture),
        **{name: given.text(name) if name in given.value else None for name in _TEXTS},
        objects=_objects(given),
        where=row.where,
    )


def _objects(row: Row) -> tuple[str, ...] | None:
    value = row.value.get("objects")
    if isinstance(value, str):
        value = value.split(",")
    if value is not None and not (isinstance(value, list) and all(isinstance(name, str) for name in value)):
        raise InputError(f'{row.where} has {shown(value)} under \'objects\'; write a list such as ["dog", "cat"].')
    return None if value is None else tuple(name.strip() for name in value)

"""Rows of captions that are to be scored, from any file that `io.rows` reads.

    image:    path of the picture, from the folder of the file of rows or from `images` in it; or the picture itself
    caption:  what is scored; without it the model writes one
    prompt, question, answer: as for `causal_attrib.score`
    objects:  annotated objects, as a list or in one string with commas
    id:       what the caption is called; without it, the number of the row, from 1

Other columns are left alone.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from causal_attrib.errors import InputError
from causal_attrib.io.parsing import cut, one_line, shown
from causal_attrib.io.row_pictures import PictureSource, name_of
from causal_attrib.io.rows import Row, folder_of, read_rows

_TEXTS = ("caption", "prompt", "question", "answer")
# Where other files have what they say of a picture.
_CAPTIONS_ELSEWHERE = ("captions", "text", "response", "completion")


@dataclass(frozen=True)
class CaptionRow:
    """A caption that is to be scored. `number` is its place in the file, from 0, and `where` the line it is on.

    `picture` is what `read_picture` takes, and `image` what it is called. A row with a `fault` cannot be scored.
    """

    number: int
    caption_id: str
    picture: PictureSource
    image: str
    caption: str | None
    prompt: str | None
    question: str | None
    answer: str | None
    objects: tuple[str, ...] | None
    where: str
    fault: str | None = None


def read_caption_rows(path: str | os.PathLike) -> list[CaptionRow]:
    """The rows of a file.

    Raises:
        InputError: a file that cannot be read, a row without image or with several, a value that is no text, a caption
            under another name, an id that comes twice.
    """
    folder = folder_of(path)
    rows = [_caption_row(row, number, folder) for number, row in enumerate(read_rows(path, keep_faulty=True))]
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


def _caption_row(row: Row, number: int, folder: Path) -> CaptionRow:
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

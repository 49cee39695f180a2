"""Rows of a file, whatever wrote it, each with the line it stands on, so that an error can say where it is.

.json, .jsonl, ...  a JSON list, JSON Lines, or objects that follow each other however they are printed;
                    of an object that is a file of COCO captions, its captions
.csv                a row per line, under the names in the first
.parquet            pictures in it stay the bytes that they are
*.gz                any of these, gzipped
a folder            of `copo scenes`, or a data set that `datasets` saved (`save_to_disk`)
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from causal_attrib.errors import InputError
from causal_attrib.io.image_names import image_id
from causal_attrib.io.parsing import (
    PARSER_ERRORS,
    StrictDecoder,
    check_depth,
    cut,
    has_half_characters,
    one_line,
    reason_of,
    shown,
)
from causal_attrib.io.row_pictures import PictureSource, check_there, name_of, only_picture
from causal_attrib.io.tables import arrow_rows, csv_rows, parquet_rows, saved_files
from causal_attrib.io.text_files import as_path, read_bytes, read_text

_BETWEEN = re.compile(r"[\s,]*")
# Of a folder of scenes.
CAPTIONS, QUESTIONS = "captions.jsonl", "questions.jsonl"


@dataclass(frozen=True)
class Row:
    """One object of a file: its keys and values, and where it stands.

    `unit` says what `line` counts, from 1; tables of other formats than text have rows only. `fault` is what is wrong
    with the row as a whole, where its reader asked for such rows too.
    """

    value: dict[str, Any]
    file: str
    line: int
    unit: str = "line"
    fault: str | None = None

    @property
    def where(self) -> str:
        return f"{one_line(self.file)} {self.unit} {self.line}"

    @property
    def keys(self) -> str:
        """The keys that the row has, for an error."""
        names = [cut(repr(key), 40) for key in list(self.value)[:9]]
        return "no key at all" if not names else ", ".join(names[:8]) + (" and more" if len(names) > 8 else "")

    def first(self, keys: tuple[str, ...]) -> str | None:
        """The first of `keys` that the row has, or None."""
        return next((key for key in keys if key in self.value), None)

    def need(self, keys: tuple[str, ...], flag: str | None = None) -> str:
        """The first of `keys` that the row has; `flag` is what names another key on the command line."""
        key = self.first(keys)
        if key is None:
            wanted = " or ".join(repr(key) for key in keys)
            remedy = f"name the right one with {flag}" if flag else "add it"
            raise InputError(f"{self.where} has no key {wanted} (it has {self.keys}); {remedy}.")
        return key

    def text(self, key: str) -> str:
        """The string under `key`."""
        value = self.value[key]
        if not isinstance(value, str):
            raise InputError(f"{self.where} has {shown(value)} under {key!r}; give a string.")
        return value

    def image(self, key: str) -> str:
        """What the image under `key` is called, as `image_id` writes it."""
        value = self.value[key]
        if isinstance(value, dict):  # a picture in the file itself is called what its file was
            value = value.get("path")
        if isinstance(value, bool) or not isinstance(value, (int, str)) or value == "":
            raise InputError(
                f"{self.where} has {shown(value)} under {key!r}; give the number or the file name of an image."
            )
        return image_id(value)

    def picture(self, folder: str | os.PathLike) -> PictureSource:
        """The one picture of the row, for `io.pictures.read_picture`; paths start from `folder`."""
        return only_picture(self.value, self.where, folder, has=self.keys)

    def picture_name(self, source: PictureSource) -> str:
        """What the picture is called: as the row writes it, or by its bytes."""
        written = self.value.get("image")
        return written if isinstance(written, str) and isinstance(source, str) else name_of(source)

    def picture_there(self, folder: str | os.PathLike) -> PictureSource:
        """The same, after a look whether its file is there."""
        source = self.picture(folder)
        check_there(source, self.where)
        return source


def read_rows(path: str | os.PathLike, *, of_scenes: str = CAPTIONS, keep_faulty: bool = False) -> list[Row]:
    """The rows of a file or a folder, in any of the formats above.

    Args:
        of_scenes: which file of a folder that `copo scenes` wrote.
        keep_faulty: give rows with strings that are no text too, with their `fault`, in place of an error.

    Raises:
        InputError: it cannot be read, holds no rows, or a row is wrong; the error names its line.
    """
    rows = []
    for row in _rows(as_path(path), of_scenes):
        fault = fault_of(row)
        if fault is not None and not keep_faulty:
            raise InputError(fault)
        rows.append(row if fault is None else Row(row.value, row.file, row.line, row.unit, fault))
    if not rows:
        raise InputError(f"{one_line(os.fspath(path))} is empty; give a file with rows.")
    return rows


def files_of(path: str | os.PathLike, *, of_scenes: str = CAPTIONS) -> list[Path]:
    """The files that `read_rows` reads."""
    path = Path(path)
    if not path.is_dir():
        return [path]
    saved = saved_files(path)
    if saved is not None:
        return saved
    if not (path / of_scenes).is_file():
        raise InputError(
            f"{path} is a folder, but none that `copo scenes` (it has no {of_scenes}) or `save_to_disk` of datasets "
            "wrote; give a file of rows."
        )
    return [path / of_scenes]


def folder_of(path: str | os.PathLike) -> Path:
    """Where the paths of pictures in a file of rows start."""
    path = as_path(path)
    return path if path.is_dir() else path.parent


def sha256_of(path: str | os.PathLike) -> str:
    """What tells one file of rows from another: the SHA-256 of its bytes, or of those of all files of a folder."""
    digests = []
    for file in files_of(path):
        try:
            digests.append(hashlib.sha256(file.read_bytes()).hexdigest())
        except OSError as error:
            raise InputError(f"{file} cannot be read ({reason_of(error)}); check the path.") from None
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()


def _values(text: str, path: str | os.PathLike) -> Iterator[tuple[int, Any]]:
    """The JSON values of a file and the line each begins on, from 1.

    A JSON list is its items. JSON Lines and pretty-printed objects that follow each other are both simply values in a
    row, which is how benchmark files come.
    """
    start = _skip(text, 0)
    listed = text.startswith("[", start)
    position, line, counted = start + listed, 1, 0
    decoder = StrictDecoder()
    while True:
        position = _skip(text, position)
        line += text.count("\n", counted, position)
        counted = position
        if position == len(text) or (listed and text[position] == "]"):
            break
        try:
            value, position = decoder.raw_decode(text, position)
            check_depth(value)
        except json.JSONDecodeError as error:
            # An object that is not closed is only noticed in the next line.
            wrong = error.lineno if listed else line
            raise InputError(f"{path} line {wrong} is not JSON ({error.msg}); mend the file.") from None
        except PARSER_ERRORS as error:
            raise InputError(f"{path} line {line} cannot be read ({reason_of(error)}); mend the line.") from None
        yield line, value
    if listed and text[position:].strip() != "]":
        raise InputError(f"{path} does not end where its list ends (line {line}); it may be cut short.")


def _skip(text: str, position: int) -> int:
    match = _BETWEEN.match(text, position)
    return match.end() if match else position


def _rows(path: Path, of_scenes: str) -> Iterator[Row]:
    name = os.fspath(path)
    if path.is_dir():
        saved = saved_files(path)
        if saved is None:
            (path,) = files_of(path, of_scenes=of_scenes)
            yield from _rows(path, of_scenes)
            return
        number = 0
        for file in saved:
            for value in arrow_rows(file):
                number += 1
                yield Row(value, name, number, "row")
        return
    suffix = (path.with_suffix("") if path.suffix.lower() == ".gz" else path).suffix.lower()
    if suffix == ".parquet":
        for number, value in enumerate(parquet_rows(read_bytes(path), path), start=1):
            yield Row(value, name, number, "row")
    elif suffix == ".csv":
        for line, value in csv_rows(read_text(path), path):
            yield Row(value, name, line)
    else:
        for line, value in _values(read_text(path), path):
            if isinstance(value, dict) and _is_coco(value):
                yield from _coco_rows(value, name)
                continue
            if not isinstance(value, dict):
                raise InputError(f"{path} line {line} holds {shown(value)} where a row should be an object with keys.")
            yield Row(value, name, line)


def _is_coco(value: dict[str, Any]) -> bool:
    """Whether an object is a whole file of COCO captions (`captions_val2014.json`)."""
    images, annotations = value.get("images"), value.get("annotations")
    return (
        isinstance(images, list)
        and isinstance(annotations, list)
        and all(isinstance(one, dict) for one in (*images, *annotations))
        and any("caption" in one for one in annotations)
    )


def _coco_rows(value: dict[str, Any], file: str) -> Iterator[Row]:
    """A row for each caption, with the file name of its picture and the number of the annotation as `id`."""
    names: dict[object, object] = {}
    for number, image in enumerate(value["images"], start=1):
        of = image.get("id")
        if not isinstance(of, (int, str)) or of in names:
            what = "again" if isinstance(of, (int, str)) else "which is no number"
            raise InputError(f"{file} image {number} has the id {shown(of)}, {what}; mend the file.")
        names[of] = image.get("file_name")
    for number, one in enumerate(value["annotations"], start=1):
        if not isinstance(one.get("image_id"), (int, str)) or one["image_id"] not in names:
            raise InputError(
                f"{file} annotation {number} is of image {shown(one.get('image_id'))}, which is not among its images; "
                "mend the file."
            )
        row = {"image": names[one["image_id"]], "caption": one.get("caption"), "id": one.get("id", number)}
        yield Row(row, file, number, "annotation")


def fault_of(row: Row) -> str | None:
    """A sentence if a string of the row holds half a character, which no file can be written with."""
    for key, value in row.value.items():
        if has_half_characters([key, value]):
            return f"{row.where} has half a character (a lone surrogate) under {shown(key)}; write it again as UTF-8."
    return None

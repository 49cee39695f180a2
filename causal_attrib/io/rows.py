"""Rows of a JSON file, each with the line it begins on, so that an error can say where it is."""

from __future__ import annotations

import gzip
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

from causal_attrib.errors import InputError

_BETWEEN = re.compile(r"[\s,]*")
_COCO_NAME = re.compile(r"(\d{12})\.\w+$")


@dataclass(frozen=True)
class Row:
    """One object of a file: its keys and values, and where it stands."""

    value: dict
    file: str
    line: int

    @property
    def where(self) -> str:
        return f"{self.file} line {self.line}"

    def first(self, keys: tuple[str, ...]) -> str | None:
        """The first of `keys` that the row has, or None."""
        return next((key for key in keys if key in self.value), None)

    def need(self, keys: tuple[str, ...], flag: str | None = None) -> str:
        """The first of `keys` that the row has; `flag` is what names another key on the command line."""
        key = self.first(keys)
        if key is None:
            wanted = " or ".join(repr(key) for key in keys)
            remedy = f"name the right one with {flag}" if flag else "add it"
            raise InputError(f"{self.where} has no key {wanted} (it has {_listed(self.value)}); {remedy}.")
        return key

    def text(self, key: str) -> str:
        """The string under `key`."""
        if not isinstance(self.value[key], str):
            raise InputError(f"{self.where} has {self.value[key]!r} under {key!r}; give a string.")
        return self.value[key]

    def image(self, key: str) -> str:
        """The image under `key`, as `image_id` writes it."""
        value = self.value[key]
        if isinstance(value, bool) or not isinstance(value, (int, str)) or value == "":
            raise InputError(f"{self.where} has {value!r} under {key!r}; give the number or the file name of an image.")
        return image_id(value)


def image_id(value: int | str) -> str:
    """One spelling for an image: COCO's file names stand for the number in them, other names for themselves.

    >>> image_id(310196), image_id("310196"), image_id("val2014/COCO_val2014_000000310196.jpg"), image_id("AMBER_1.jpg")
    ('310196', '310196', '310196', 'AMBER_1.jpg')
    """
    text = str(value)
    if match := _COCO_NAME.search(text):
        text = match[1]
    return str(int(text)) if text.isascii() and text.isdecimal() else text


def read_text(path: str | os.PathLike) -> str:
    """The text of a file, which may be gzipped (`.gz`)."""
    path = Path(path)
    try:
        data = path.read_bytes()
        return (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"There is no file {path}; check the path.") from None
    except IsADirectoryError:
        raise InputError(f"{path} is a folder; give the path of a file.") from None
    except UnicodeDecodeError:
        raise InputError(f"{path} is not UTF-8 text; save it as UTF-8.") from None
    except (OSError, EOFError) as error:
        raise InputError(f"{path} cannot be read ({error}); check the file.") from None


def read_values(path: str | os.PathLike) -> list[tuple[int, object]]:
    """The JSON values of a file and the line each begins on, from 1.

    A JSON list is its items. JSON Lines and pretty-printed objects that follow each other are both simply values in a
    row, which is how benchmark files come.
    """
    text = read_text(path)
    start = _BETWEEN.match(text).end()
    listed = text.startswith("[", start)
    position, line, counted, values = start + listed, 1, 0, []
    decoder = json.JSONDecoder()
    while True:
        position = _BETWEEN.match(text, position).end()
        line += text.count("\n", counted, position)
        counted = position
        if position == len(text) or (listed and text[position] == "]"):
            break
        try:
            value, position = decoder.raw_decode(text, position)
        except json.JSONDecodeError as error:
            # An object that is not closed is only noticed in the next line.
            wrong = error.lineno if listed else line
            raise InputError(f"{path} line {wrong} is not JSON ({error.msg}); mend the file.") from None
        values.append((line, value))
    if listed and text[position:].strip() != "]":
        raise InputError(f"{path} does not end where its list ends (line {line}); it may be cut short.")
    if not values:
        raise InputError(f"{path} is empty; give a file with rows.")
    return values


def read_rows(path: str | os.PathLike) -> list[Row]:
    """The objects of a JSON list, of JSON Lines, or of objects that simply follow each other."""
    rows = []
    for line, value in read_values(path):
        if not isinstance(value, dict):
            raise InputError(f"{path} line {line} holds {_shown(value)} where a row should be an object with keys.")
        rows.append(Row(value, os.fspath(path), line))
    return rows


def _listed(value: dict) -> str:
    names = [repr(key) for key in value]
    return "no key at all" if not names else ", ".join(names[:8]) + (" and more" if len(names) > 8 else "")


def _shown(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else text[:40] + "..."

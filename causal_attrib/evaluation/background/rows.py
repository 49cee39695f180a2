"""Questions whose pictures come with masks of their objects: a folder of scenes, or rows of the user's."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from causal_attrib.errors import InputError
from causal_attrib.evaluation.localisation import read_mask
from causal_attrib.io.json_files import read_json
from causal_attrib.io.parsing import shown
from causal_attrib.io.pictures import read_picture
from causal_attrib.io.row_pictures import PictureSource
from causal_attrib.io.rows import CAPTIONS, QUESTIONS, Row, folder_of, read_rows
from causal_attrib.io.text_files import as_path
from causal_attrib.words.segmentation import Span

# What saliency is taken as: the norm of the gradient, or the size of its product with the input.
MEASURES = ("gradient", "gradient_x_input")
# Questions of a folder of scenes that the objects answer; where and when it is, the background tells by right.
KINDS = ("object", "pair", "colour", "count")


@dataclass(frozen=True)
class Asked:
    """A question about a picture.

    image:       the picture: its path, or itself
    masks:       paths of the masks of its objects, white where one is
    answer:      what counts as right
    description: what stands for the picture in the text arm, or None
    spans:       characters of the description that name objects
    """

    image: PictureSource
    masks: tuple[str, ...]
    question: str
    answer: str
    description: str | None = None
    spans: tuple[Span, ...] = ()

    def mask(self, size: tuple[int, int]) -> np.ndarray:
        """Where any object is (height, width), for a picture of this (width, height)."""
        return np.any([read_mask(mask, *size) for mask in self.masks], axis=0)


def read_questions(path: str | os.PathLike) -> list[Asked]:
    """Rows from a folder that `copo scenes` wrote, or from a file of rows such as

        {"image": "park.png", "mask": "dog.png", "question": "Is there a cat?", "answer": "no",
         "description": "a dog on the grass", "spans": [[0, 5]]}

    with paths from where the file is; description and spans are for the text arm, and may be left out.

    Raises:
        InputError: files are missing, cannot be read or do not fit each other, or a row lacks something.
    """
    folder = as_path(path)
    if any((folder / name).is_file() for name in (QUESTIONS, CAPTIONS, "objects.json")):
        return _of_folder(folder)
    return [_of_row(row, folder_of(path)) for row in read_rows(path, of_scenes=QUESTIONS)]


def _of_row(row: Row, folder: Path) -> Asked:
    picture = row.picture(folder)
    for key in ("mask", "question", "answer"):
        row.need((key,))
        if not row.text(key).strip():
            raise InputError(f"{row.where} has an empty {key!r}; fill it in.")
    description: str | None = None
    spans: tuple[Span, ...] = ()
    if row.value.get("description") is not None:
        description = row.text("description")
        spans = _spans(row, len(description))
    asked = Asked(
        picture,
        (str(folder / row.text("mask")),),
        row.text("question"),
        row.text("answer"),
        description,
        spans,
    )
    try:
        asked.mask(read_picture(asked.image).pixels.size)
    except InputError as error:
        raise InputError(f"{row.where}: {error}") from None
    return asked


def _spans(row: Row, length: int) -> tuple[Span, ...]:
    spans = row.value[row.need(("spans",))]
    fits = isinstance(spans, list) and all(
        isinstance(span, list)
        and len(span) == 2
        and all(type(edge) is int for edge in span)
        and 0 <= span[0] < span[1] <= length
        for span in spans
    )
    if not fits or not spans:
        raise InputError(
            f"{row.where} has {shown(spans)} under 'spans'; give [start, end] of each phrase of its description that "
            f"names an object, in characters from 0 to {length}."
        )
    return tuple((start, end) for start, end in spans)


def _of_folder(folder: Path) -> list[Asked]:
    missing = [name for name in ("objects.json", QUESTIONS, CAPTIONS) if not (folder / name).is_file()]
    if missing:
        raise InputError(f"{folder} has no {missing[0]}; give a folder that `copo scenes` wrote, or a file of rows.")
    scenes = read_json(folder / "objects.json")
    captions = {row.value["image"]: row.value["caption"] for row in read_rows(folder / CAPTIONS)}
    asked = []
    for row in read_rows(folder / QUESTIONS):
        for key in ("image", "text", "label", "category"):
            row.need((key,))
        name = row.value["image"]
        if name not in scenes or name not in captions:
            raise InputError(f"{row.where} is about {name!r}, which objects.json or captions.jsonl lacks; add it.")
        objects = scenes[name]["objects"]
        if row.value["category"] in KINDS and any(thing["visible"] for thing in objects):
            asked.append(_of_scene(folder, row, objects, captions[name]))
    if not asked:
        raise InputError(f"{folder} asks for no object that can be seen; render more scenes.")
    return asked


def _of_scene(folder: Path, row: Row, objects: list[dict], caption: str) -> Asked:
    name = row.value["image"]
    return Asked(
        str(folder / "images" / name),
        tuple(str(folder / "masks" / thing["mask"]) for thing in objects if thing["visible"]),
        row.value["text"],
        row.value["label"],
        caption,
        tuple(_named(caption, thing) for thing in objects),
    )


def _named(caption: str, thing: dict) -> Span:
    """Where a caption names an object, with its colour."""
    words = " ".join(filter(None, (thing["colour"], thing["class"])))
    found = re.search(rf"\b{re.escape(words)}\b", caption)
    if found is None:
        raise InputError(f"The caption {caption!r} does not name {words!r}; write the scenes again with copo scenes.")
    return found.span()

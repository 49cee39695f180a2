"""Captions whose units are judged, picture by picture: those that a model is yet to write, and those of a file.

A unit is a mention of an object (`mentions_of`), a word (files with spans or tags), or a labelled word or phrase (files
with lists). Files with spans have one of

    "spans": [[start, end], ...]            characters of the caption that are hallucinated
    "hallucination_spans": [{"start": .., "end": ..}, ...]      the same, as M-HalDetect's part of MHALO has it
    <hallucination>..</hallucination>       tags in the caption, or in "hallucinated_solution" beside the caption in
                                            "test_solution", as RLHF-V's part of MHALO has it
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from causal_attrib.errors import InputError
from causal_attrib.evaluation.detection.spans import words_of
from causal_attrib.evaluation.prompts import Folder
from causal_attrib.evaluation.verdict.labelled import read_captions
from causal_attrib.io.image_names import image_id, known_as
from causal_attrib.io.parsing import shown
from causal_attrib.io.row_pictures import PictureSource
from causal_attrib.io.rows import Row, folder_of, read_rows
from causal_attrib.words.matcher import Matcher

IMAGE_KEYS = ("image", "image_id", "image_path")
TEXT_KEYS = ("caption", "text", "answer")
_TAG = re.compile(r"</?hallucination>")


@dataclass(frozen=True)
class Unit:
    """Characters `start` to `stop` of a caption, what they are, and whether they are hallucinated.

    word: as the caption has it
    node: what counts as the same word: the object's name, or the word without case and marks
    """

    start: int
    stop: int
    word: str
    node: str
    is_false: bool


@dataclass(frozen=True)
class Given:
    """A caption of a file.

    sample: 0 for the one that stands by itself (greedy), else the number of a sampled one
    units:  None: the objects that it names
    """

    text: str
    sample: int = 0
    prompt: str | None = None
    units: tuple[Unit, ...] | None = None


@dataclass(frozen=True)
class Pictured:
    """A picture and its captions; without any the model writes them."""

    image: str
    picture: Path | PictureSource | Image.Image
    captions: tuple[Given, ...] = ()


def mentions_of(text: str, truth: frozenset[str], matcher: Matcher) -> tuple[Unit, ...]:
    """The objects that a caption names; one that is not in the picture is hallucinated (CHAIR)."""
    return tuple(
        Unit(one.start, one.stop, text[one.start : one.stop], one.node, one.node not in truth)
        for one in matcher.mentions(text)
    )


def words_with_spans(text: str, spans: Sequence[tuple[int, int]]) -> tuple[Unit, ...]:
    """Every word of a text; one that shares a character with a span is hallucinated.

    >>> [unit.word for unit in words_with_spans("a red dog.", [(2, 5)]) if unit.is_false]
    ['red']
    """
    return tuple(
        Unit(start, stop, text[start:stop], _plain(text[start:stop]), any(a < stop and start < b for a, b in spans))
        for start, stop in words_of(text)
    )


def without_tags(tagged: str) -> tuple[str, list[tuple[int, int]]]:
    """The text, and the characters that the tags are around.

    >>> without_tags("a <hallucination>red</hallucination> dog")
    ('a red dog', [(2, 5)])

    Raises:
        ValueError: the tags do not pair.
    """
    text, spans, opened, last = "", [], -1, 0
    for tag in _TAG.finditer(tagged):
        text += tagged[last : tag.start()]
        last = tag.end()
        if (tag[0][1] == "/") != (opened >= 0):
            raise ValueError
        if opened >= 0:
            spans.append((opened, len(text)))
        opened = len(text) if opened < 0 else -1
    if opened >= 0:
        raise ValueError
    return text + tagged[last:], spans


def tokens_at(spans: Sequence[tuple[int, int]], start: int, stop: int) -> list[int]:
    """The tokens that share a character with `start` to `stop`, by the characters that each stands for.

    >>> tokens_at([(0, 1), (1, 5), (5, 8)], 2, 8)
    [1, 2]
    """
    return [place for place, (first, end) in enumerate(spans) if first < stop and start < end]


def read_described(
    captions: str | os.PathLike[str], images: str | os.PathLike[str] | None, truth: Mapping[str, frozenset[str]]
) -> list[Pictured]:
    """Captions of a file, their objects yet to be found; several of one image belong together."""
    rows = read_rows(captions)
    find = _finder(captions, images)
    names = [row.image(row.need(IMAGE_KEYS)) for row in rows]
    called = called_in(truth, names)
    unknown = [row for row, name in zip(rows, names, strict=True) if name not in called]
    if unknown:
        raise InputError(
            f"{len(unknown)} captions are of images without ground truth (first at {unknown[0].where}); add them to "
            "it, or leave these captions out."
        )
    groups: dict[str, tuple[Path | PictureSource, list[Given]]] = {}
    for row, name in zip(rows, names, strict=True):
        _, of_image = groups.setdefault(called[name], (find(row), []))
        of_image.append(Given(row.text(row.need(TEXT_KEYS)), _sample(row, len(of_image)), _prompt(row)))
    return [Pictured(image, picture, tuple(of_image)) for image, (picture, of_image) in groups.items()]


def called_in(truth: Mapping[str, frozenset[str]], names: Sequence[str]) -> dict[str, str]:
    """What images are called in the ground truth, those that are in it; it may leave out the suffix of their files."""
    called = known_as(names, truth)
    return called | {name: stem for name in set(names) - set(called) if (stem := image_id(Path(name).stem)) in truth}


def read_spans(
    captions: str | os.PathLike[str], images: str | os.PathLike[str] | None
) -> tuple[list[Pictured], list[str]]:
    """Captions whose hallucinated words are labelled, and what is to be said of rows that were left out."""
    rows = read_rows(captions)
    if {"true", "false"} & set(rows[0].value):
        if images is not None:
            raise InputError(f"The pictures of {captions} are found from its own folder; leave --images out.")
        return [
            Pictured(
                one.image,
                one.picture,
                (Given(one.text, units=tuple(_phrase(one.text, *label) for label in one.labels)),),
            )
            for one in read_captions(captions)
        ], []
    find = _finder(captions, images)
    groups: dict[str, tuple[Path | PictureSource, list[Given]]] = {}
    skipped = []
    for row in rows:
        read = _labelled(row)
        if read is None:
            skipped.append(row.where)
            continue
        text, spans = read
        _, of_image = groups.setdefault(row.image(row.need(IMAGE_KEYS)), (find(row), []))
        of_image.append(Given(text, 0, _prompt(row), words_with_spans(text, spans)))
    if not groups:
        raise InputError(f"The tags of no row of {captions} give back its text; check the file.")
    notes = [
        f"{len(skipped)} rows are left out, whose tags do not give back the text; first {where}." for where in skipped
    ]
    return [Pictured(image, picture, tuple(given)) for image, (picture, given) in groups.items()], notes[:1]


def has_labels(captions: str | os.PathLike[str]) -> bool:
    """Whether a file says itself which words are hallucinated, by its first row."""
    value = read_rows(captions)[0].value
    if {"true", "false", "spans", "hallucination_spans", "hallucinated_solution"} & set(value):
        return True
    return any(isinstance(value.get(key), str) and _TAG.search(value[key]) for key in TEXT_KEYS)


def _labelled(row: Row) -> tuple[str, list[tuple[int, int]]] | None:
    """Text and spans of a row; None where its tags do not give back the text."""
    key = row.first(("hallucinated_solution", *TEXT_KEYS, "test_solution"))
    if key is None:
        row.need(TEXT_KEYS)
    assert key is not None
    listed = row.first(("spans", "hallucination_spans"))
    if listed is not None:
        text = row.text(row.need((*TEXT_KEYS, "test_solution")))
        return text, [_span(one, text, row, listed) for one in _list(row, listed)]
    try:
        text, spans = without_tags(row.text(key))
    except ValueError:
        return None
    if key == "hallucinated_solution" and "test_solution" in row.value and text != row.text("test_solution"):
        return None
    return text, spans


def _list(row: Row, key: str) -> list[object]:
    value = row.value[key]
    if not isinstance(value, list):
        raise InputError(f"{row.where} has {shown(value)} under {key!r}; give a list of [start, end].")
    return value


def _span(value: object, text: str, row: Row, key: str) -> tuple[int, int]:
    ends = [value.get("start"), value.get("end")] if isinstance(value, dict) else value
    if not (isinstance(ends, list) and len(ends) == 2 and all(type(end) is int for end in ends)):
        raise InputError(f"{row.where} has {shown(value)} under {key!r}; give [start, end] in characters.")
    start, stop = ends
    if not 0 <= start < stop <= len(text):
        raise InputError(
            f"{row.where} has the span [{start}, {stop}] in a text of {len(text)} characters; mend it, counting from 0."
        )
    if isinstance(value, dict) and isinstance(value.get("text"), str) and value["text"] != text[start:stop]:
        raise InputError(
            f"{row.where} says that characters {start} to {stop} are {shown(value['text'])}, but they are "
            f"{shown(text[start:stop])}; mend the span."
        )
    return start, stop


def _phrase(text: str, start: int, stop: int, _: str, is_false: bool) -> Unit:
    return Unit(start, stop, text[start:stop], _plain(text[start:stop]), is_false)


def _finder(
    captions: str | os.PathLike[str], images: str | os.PathLike[str] | None
) -> Callable[[Row], Path | PictureSource]:
    """Where the picture of a row is: in the folder of images, by its name alone, or from the folder of the file."""
    if images is None:
        folder = folder_of(captions)
        return lambda row: row.picture_there(folder)
    pictures = Folder(images)

    def find(row: Row) -> Path:
        name = row.image(row.need(IMAGE_KEYS))
        return pictures.find(image_id(re.split(r"[/\\]", name)[-1]), row.where)

    return find


def _sample(row: Row, before: int) -> int:
    value = row.value.get("sample")
    if value is None:
        return max(before, 1) if row.value.get("sampled") is True else 0
    if type(value) is not int or value < 0:
        raise InputError(
            f"{row.where} has {shown(value)} under 'sample'; give 0 for the greedy caption, else 1, 2, ..."
        )
    return value


def _prompt(row: Row) -> str | None:
    value = row.value.get("prompt")
    return value if isinstance(value, str) and value.strip() else None


def _plain(word: str) -> str:
    return re.sub(r"^\W+|\W+$", "", word).lower() or word

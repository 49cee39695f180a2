"""What a model is asked about each picture while the picture gets worse, and what the right answer is."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from causal_attrib.choices import check_scenes
from causal_attrib.errors import InputError
from causal_attrib.io.json_files import read_json
from causal_attrib.io.parsing import PARSER_ERRORS
from causal_attrib.io.row_pictures import PictureSource, check_there
from causal_attrib.io.rows import QUESTIONS, Row, folder_of, read_rows
from causal_attrib.io.text_files import as_path
from causal_attrib.outcomes.match import matches
from causal_attrib.scenes import CAPTION_PROMPT, Scene, Sticker, questions, render, sample_scene
from causal_attrib.scenes.language import THINK_SUFFIX

CAPTION, ANSWER, REASONED = "caption", "answer", "reasoned"


@dataclass(frozen=True)
class DegradationTask:
    """Something to ask. `truth` is the right answer, or for a caption the scene."""

    kind: str
    prompt: str
    truth: str | Scene

    def is_right(self, text: str) -> bool:
        """Whether a caption names the scene's objects and no others, their colours, the place and the time; whether an
        answer agrees with the right one (`outcomes.match`)."""
        if isinstance(self.truth, str):
            return matches(text, self.truth)
        # Imports torch, which whoever checks a file need not wait for.
        from causal_attrib.scenes.measure import measure_captions

        return bool(measure_captions([self.truth], [text])[0]["whole caption right"][0])


@dataclass(frozen=True)
class DegradationItem:
    """A picture and what is asked about it. `image` is what intervals draw as one."""

    image: str
    picture: Image.Image | PictureSource
    tasks: tuple[DegradationTask, ...]


def rendered(count: int, seed: int, suffix: str = THINK_SUFFIX) -> list[DegradationItem]:
    """Rendered scenes that the bundled model has not seen: a caption, and one question with and without reasoning.

    Args:
        suffix: what asks for reasoning, behind the question.
    """
    check_scenes(count, seed)
    if seed < 0:
        raise InputError(f"The seed is {seed}, but it must be 0 or more.")
    rng = np.random.default_rng([seed, 4_000_037])
    items = []
    for number in range(count):
        scene = sample_scene(rng)
        asked = questions(scene, rng)
        question = asked[rng.integers(len(asked))]
        tasks = (DegradationTask(CAPTION, CAPTION_PROMPT, scene), *_question(question.text, question.answer, suffix))
        items.append(DegradationItem(str(number), render(scene)[0], tasks))
    return items


def read_items(source: str | os.PathLike, seed: int, suffix: str = THINK_SUFFIX) -> list[DegradationItem]:
    """The same from a folder of `copo scenes`, or questions without captions from rows

        {"image": "park.png", "question": "Is there a dog?", "answer": "yes"}

    of a file of rows, whose images are found from the folder of the file.

    Raises:
        InputError: no such folder or file, or one of another kind.
    """
    path = as_path(source)
    if (path / QUESTIONS).is_file():
        return _of_folder(path, seed, suffix)
    return [_of_row(row, folder_of(path), suffix) for row in read_rows(path, of_scenes=QUESTIONS)]


def _question(text: str, answer: str, suffix: str) -> tuple[DegradationTask, DegradationTask]:
    return DegradationTask(ANSWER, text, answer), DegradationTask(REASONED, text + suffix, answer)


def _of_row(row: Row, folder: Path, suffix: str) -> DegradationItem:
    picture = row.picture_there(folder)
    question, answer = (row.text(row.need((key,))) for key in ("question", "answer"))
    return DegradationItem(row.picture_name(picture), picture, _question(question, answer, suffix))


def _of_folder(folder: Path, seed: int, suffix: str) -> list[DegradationItem]:
    try:
        truth = read_json(folder / "objects.json")
        scenes = {name: _scene(record) for name, record in truth.items()}
    except PARSER_ERRORS as error:
        if isinstance(error, InputError):
            raise InputError(f"{folder} is no folder of scenes; make one with copo scenes.") from None
        raise InputError(f"{folder / 'objects.json'} is damaged; write the scenes again with copo scenes.") from None
    asked: dict[str, list[Row]] = {name: [] for name in scenes}
    for row in read_rows(folder / "questions.jsonl"):
        asked.setdefault(row.text(row.need(("image",))), []).append(row)
    rng = np.random.default_rng([seed, 4_000_037])
    items = []
    for name, scene in scenes.items():
        if not asked[name]:
            raise InputError(f"{folder / 'questions.jsonl'} asks nothing about {name}; write the scenes again.")
        row = asked[name][rng.integers(len(asked[name]))]
        picture = str(folder / "images" / name)
        check_there(picture, row.where)
        tasks = _question(row.text(row.need(("text",))), row.text(row.need(("label",))), suffix)
        items.append(DegradationItem(name, picture, (DegradationTask(CAPTION, CAPTION_PROMPT, scene), *tasks)))
    return items


def _scene(record: dict) -> Scene:
    stickers = tuple(Sticker(thing["class"], thing["colour"]) for thing in record["objects"])
    return Scene(record["place"], record["time"], record["seed"], stickers)

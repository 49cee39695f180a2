"""Write a data set of scenes to a folder: pictures, masks, captions and questions.

    images/000000.png     RGB pictures
    masks/000000_0.png    one per object: white where the object is, in the order of objects.json
    captions.jsonl        {"image", "caption", "false_caption", "false_word", "false_span", "false_kind"}
    questions.jsonl       POPE's format {"question_id", "image", "text", "label"}, and "category", "negative",
                          "reasoned" (an answer with its thoughts)
    objects.json          every scene in full, keyed by picture: place, time, seed, objects with boxes and masks

The same seed writes the same bytes. A file `.unfinished` is there until all is written: a folder that has it is begun
anew by the next call.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from causal_attrib.errors import InputError
from causal_attrib.io.atomic import cannot_be_written
from causal_attrib.scenes.drawing import NATIVE_SIZE, render
from causal_attrib.scenes.language import caption, falsify, questions, reasoned_answer
from causal_attrib.scenes.stickers import StickerSet, bundled, from_folder
from causal_attrib.scenes.world import CLASSES, PAINTED, STYLES, check_plant, sample_scene

_UNFINISHED = ".unfinished"
# Scenes of a folder, and pixels of a side.
_MOST, _LARGEST = 1_000_000, 4096
_OURS = re.compile(r"\d{6,}(_\d+)?\.png|(captions|questions)\.jsonl|objects\.json")


def _box(mask: np.ndarray) -> list[int] | None:
    """Tight box [left, top, right, bottom] (right and bottom exclusive), or None for an object that cannot be seen."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return None
    return [int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1]


def _check(
    folder: Path,
    count: int,
    seed: int,
    style: str | None,
    size: int,
    planted: float,
    invisible: float | None,
    chosen: StickerSet,
) -> None:
    check_plant(planted, invisible)
    if seed < 0:
        raise InputError(f"The seed is {seed}, but it must be 0 or more.")
    if count < 1:
        raise InputError(f"A data set needs at least one scene, not {count}.")
    if count > _MOST:
        raise InputError(f"{str(count)[:40]} scenes are too many for one folder; ask for {_MOST:,} or fewer.")
    if size < 16:
        raise InputError(f"Pictures need a side of at least 16 pixels, not {size}.")
    if size > _LARGEST:
        raise InputError(f"Pictures of {str(size)[:40]} pixels a side are too large; ask for {_LARGEST:,} or fewer.")
    if style is not None and style not in chosen.styles:
        raise InputError(f"There is no sticker style {style!r}; choose from {', '.join(chosen.styles)}.")
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; name a folder to write the scenes to.")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / _UNFINISHED).is_file():
        raise InputError(f"{folder} is not empty; name a new folder for the scenes.")


def write_dataset(
    folder: str | os.PathLike[str],
    count: int,
    seed: int,
    planted: float = 0.0,
    stickers: str | os.PathLike[str] | None = None,
    style: str | None = None,
    size: int = NATIVE_SIZE,
    invisible: float | None = None,
) -> Path:
    """Render `count` scenes into a new or empty folder and return its path.

    planted     strength of the class-place correlation, see `sample_scene`
    stickers    a folder of CLASS.png files to use in place of the bundled stickers; the classes are the file names
    style       "noto" or "fluent" (default: both); stickers of your own have one style
    size        side of the pictures in pixels
    invisible   share of annotated partners left out of the picture, see `sample_scene`
    """
    folder = Path(folder)
    chosen = bundled() if stickers is None else from_folder(stickers)
    styles: Sequence[str] = STYLES if stickers is None else chosen.styles
    world: dict[str, Any] = {"classes": chosen.classes, "painted": ()}
    if stickers is None:
        world = {"classes": CLASSES, "painted": PAINTED}
    _check(folder, count, seed, style, size, planted, invisible, chosen)
    try:
        _begin(folder)
        _write(folder, count, seed, planted, style, styles, size, invisible, chosen, world)
        (folder / _UNFINISHED).unlink()
    except OSError as error:
        raise cannot_be_written(folder, error, "make room") from None
    return folder


def _begin(folder: Path) -> None:
    """An empty folder with the mark of an unfinished one, without what a run that was killed left in it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _UNFINISHED).write_text("copo scenes had not written all of this folder; call it again.\n")
    for part in ("images", "masks"):
        (folder / part).mkdir(exist_ok=True)
    for file in (*folder.iterdir(), *(folder / "images").iterdir(), *(folder / "masks").iterdir()):
        if _OURS.fullmatch(file.name) and file.is_file():
            file.unlink()


def _write(
    folder: Path,
    count: int,
    seed: int,
    planted: float,
    style: str | None,
    styles: Sequence[str],
    size: int,
    invisible: float | None,
    chosen: StickerSet,
    world: dict[str, Any],
) -> None:
    rng = np.random.default_rng(seed)
    captions: list[dict] = []
    asked: list[dict] = []
    objects: dict[str, dict] = {}
    for number in range(count):
        scene_style = style or str(rng.choice(styles))
        scene = sample_scene(rng, style=scene_style, planted=planted, invisible=invisible, **world)
        name = f"{number:06d}.png"
        picture, masks = render(scene, size, chosen)
        picture.save(folder / "images" / name)
        entries = []
        for index, (sticker, mask) in enumerate(zip(scene.objects, masks, strict=True)):
            mask_name = f"{number:06d}_{index}.png"
            Image.fromarray(mask).save(folder / "masks" / mask_name)
            entries.append(
                {
                    "class": sticker.cls,
                    "colour": sticker.colour,
                    "cell": [sticker.x, sticker.y],
                    "size": sticker.size,
                    "style": sticker.style,
                    "flip": sticker.flip,
                    "visible": sticker.visible,
                    "box": _box(mask),
                    "mask": mask_name,
                }
            )
        objects[name] = {"place": scene.place, "time": scene.time, "seed": scene.seed, "objects": entries}
        lie = falsify(scene, rng, classes=world["classes"])
        captions.append(
            {
                "image": name,
                "caption": caption(scene),
                "false_caption": lie.text,
                "false_word": lie.word,
                "false_span": [lie.start, lie.end],
                "false_kind": lie.kind,
            }
        )
        for question in questions(scene, rng, world["classes"]):
            asked.append(
                {
                    "question_id": len(asked) + 1,
                    "image": name,
                    "text": question.text,
                    "label": question.answer,
                    "category": question.kind,
                    "negative": question.negative,
                    "reasoned": reasoned_answer(scene, question),
                }
            )
    _write_lines(folder / "captions.jsonl", captions)
    _write_lines(folder / "questions.jsonl", asked)
    (folder / "objects.json").write_text(json.dumps(objects, indent=1) + "\n", encoding="utf-8", newline="\n")


def _write_lines(file: Path, rows: Sequence[dict]) -> None:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8", newline="\n")

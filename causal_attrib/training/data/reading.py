"""Training data from any file of rows, checked row by row."""

from __future__ import annotations

import functools
import json
import os
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from causal_attrib.errors import InputError
from causal_attrib.io.atomic import replace_file
from causal_attrib.io.parsing import PARSER_ERRORS, reason_of, shown
from causal_attrib.io.pictures import ImageLike, check_picture, embedded, pixel_limit
from causal_attrib.io.row_pictures import no_picture, picture_source
from causal_attrib.io.rows import CAPTIONS, QUESTIONS, Row, folder_of, read_rows
from causal_attrib.outcomes.objects import annotated_objects
from causal_attrib.training.data.layouts import to_ours
from causal_attrib.training.data.scene_rows import scene_rows

if TYPE_CHECKING:
    import datasets

# What a row must have beside its picture, by what is trained.
NEEDED = {
    "answers": ("prompt",),
    "preferences": ("prompt", "chosen", "rejected"),
    "contrasts": ("prompt", "chosen", "rejected", "image_contrast", "chosen_contrast"),
}
_ROLES = ("system", "user", "assistant")
_PICTURES = ("image", "images", "image_contrast")


def read_data(
    path: str | os.PathLike, kind: str = "answers", image_root: str | os.PathLike | None = None
) -> list[dict]:
    """The rows of a file, in our layout (`training.data.layouts`), all checked.

    `prompt` becomes a conversation, `chosen` and `rejected` one message each, paths of pictures absolute, and a picture
    in the file itself {"bytes", "path"}.

    Args:
        path: what `io.rows.read_rows` reads.
        kind: "answers" for rewards, "preferences" for DPO, "contrasts" for SymMPO.
        image_root: what the paths of pictures start from; by default the folder of the file, or `images` in it.

    Raises:
        InputError: the file or one of its rows cannot be used; it names the line and the key.
    """
    path = Path(path)
    root = folder_of(path) if image_root is None else Path(image_root)
    rows = []
    is_scenes = any((path / name).is_file() for name in (QUESTIONS, CAPTIONS))
    for row in scene_rows(path, kind) if is_scenes else read_rows(path):
        try:
            # A column that other rows fill is None in this one.
            ours = to_ours({name: value for name, value in row.value.items() if value is not None})
        except KeyError as error:
            raise InputError(f"{row.where} has no key {error}, which other rows of this layout have; add it.") from None
        except PARSER_ERRORS:
            raise InputError(
                f"{row.where} is not in its layout (it has {row.keys}); see the ones that are read."
            ) from None
        rows.append(_checked(ours, row, kind, root))
    return rows


def with_system_prompt(rows: Sequence[dict], text: str | None) -> list[dict]:
    """The rows with this as their system message, where they have none; as they are without a text.

    >>> with_system_prompt([{"prompt": [{"role": "user", "content": "Is there a dog?"}]}], "Be brief.")[0]["prompt"][0]
    {'role': 'system', 'content': 'Be brief.'}
    """
    if not text:
        return list(rows)
    system = {"role": "system", "content": text}
    return [row if row["prompt"][0]["role"] == "system" else row | {"prompt": [system, *row["prompt"]]} for row in rows]


def to_dataset(rows: Sequence[dict]) -> datasets.Dataset:
    """The rows as TRL takes them; pictures are opened when they are needed, as scoring shows them to a model.

    Where a row has several pictures, all have theirs in the column `images`: of two columns TRL reads one.

    Raises:
        InputError: a column has values of different kinds.
    """
    import datasets

    from causal_attrib.training.data.picture_column import PictureColumn

    if any(row.get("images") is not None for row in rows):
        rows = [
            {name: value for name, value in row.items() if name != "image"} | {"images": [row["image"]]}
            if row.get("image") is not None
            else row
            for row in rows
        ]
    table = _table([row | {name: _stored(row[name]) for name in _PICTURES if name in row} for row in rows])
    picture = PictureColumn(max_pixels=pixel_limit())
    for name in ("image", "image_contrast"):
        if name in table.column_names:
            table = table.cast_column(name, picture)
    if "images" in table.column_names:
        table = table.cast_column("images", datasets.List(picture))
    return table


def _stored(pictures: ImageLike | list[ImageLike] | None) -> dict | list[dict] | None:
    if pictures is None:
        return None
    return [embedded(picture) for picture in pictures] if isinstance(pictures, list) else embedded(pictures)


def check_columns(rows: Sequence[dict]) -> None:
    """Raises InputError if a column has values of different kinds; pictures, which may be large, are left alone."""
    _table([{name: value for name, value in row.items() if name not in _PICTURES} for row in rows])


def _table(rows: Sequence[dict]) -> datasets.Dataset:
    import datasets
    import pyarrow

    columns = dict.fromkeys(name for row in rows for name in row)
    try:
        return datasets.Dataset.from_dict({name: [row.get(name) for row in rows] for name in columns})
    except (*PARSER_ERRORS, pyarrow.ArrowException) as error:
        raise InputError(
            f"A column has values of different kinds ({reason_of(error)}); give each column one kind."
        ) from None


def check_folder(folder: Path) -> None:
    """Raises InputError unless files can be written into the folder, which is made."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(f"{folder} cannot be written ({error.strerror}); choose another folder.") from None


def check_writable(path: str | os.PathLike) -> None:
    """Raises InputError unless `write_data` can write there: call it before the work, not after."""
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path} is a folder; give the path of a file to write.")
    check_folder(path.parent)


def write_data(path: str | os.PathLike, rows: Iterable[dict]) -> Path:
    """Rows as JSON Lines; the file is whole or not there.

    Raises:
        InputError: a row holds a picture itself and not its path, or the file cannot be written.
    """
    path = Path(path)
    try:
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    except TypeError:
        raise InputError("A row holds a picture itself, which JSON Lines cannot; save it and give its path.") from None
    check_folder(path.parent)
    replace_file(path, text.encode())
    return path


# -- rows -------------------------------------------------------------------------------------------------------------


def _checked(row: dict, written: Row, kind: str, root: Path) -> dict:
    where = written.where
    names = [name for name in _PICTURES if row.get(name) is not None]
    if not row.get("image") and not row.get("images"):
        raise no_picture(written.value, where, has=written.keys)
    for name in NEEDED[kind]:
        if row.get(name) is None:
            raise InputError(f"{where} has no key {name!r} (it has {written.keys}); add it.")
    for name in names:
        if name == "images" and not isinstance(row[name], list):
            raise InputError(
                f"{where} has {shown(row[name])} under 'images'; give a list of paths, or one under 'image'."
            )
        pictures = [_picture(value, name, where, root) for value in (row[name] if name == "images" else [row[name]])]
        row[name] = pictures if name == "images" else pictures[0]
    row["prompt"] = _conversation(row["prompt"], where)
    for name in ("chosen", "rejected", "chosen_contrast"):
        if row.get(name) is not None:
            row[name] = [_response(row[name], name, where)]
    if row.get("answer") is not None:
        row["answer"] = _answer(row["answer"], where)
    if row.get("question") is not None and row.get("answer") is None:
        raise InputError(f"{where} has a question and no key 'answer'; add the answer that counts as right.")
    if row.get("objects") is not None:
        _check_objects(row["objects"], where)
    return row


def _picture(value: object, name: str, where: str, root: Path) -> str | dict:
    """A path that is whole, or the picture as it stands in the row."""
    source = picture_source(value, name, where, root)
    try:
        stored = embedded(source)
        if stored["path"] is None:
            check_picture(source)
            return source if isinstance(source, str) else stored
        _check_file(stored["path"], pixel_limit())
        return str(Path(stored["path"]).resolve())
    except InputError as error:
        raise InputError(f"{where}, key {name!r}: {error}") from None


@functools.lru_cache(maxsize=100_000)
def _check_file(path: str, limit: int) -> None:
    """Once for a picture that many rows ask about."""
    check_picture(path)


def _conversation(prompt: object, where: str) -> list[dict]:
    turns = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
    turns = [_turn(turn, where) for turn in turns] if isinstance(turns, list) else []
    if not turns or turns[-1]["role"] != "user":
        raise InputError(f"{where} has a prompt that does not end with what the user says; give text, or messages.")
    return turns


def _turn(turn: object, where: str) -> dict:
    if not (isinstance(turn, dict) and turn.get("role") in _ROLES and isinstance(turn.get("content"), str)):
        raise InputError(
            f"{where} has {shown(turn)} under 'prompt'; give messages with a role ({', '.join(_ROLES)}) and text "
            "as content."
        )
    if turn["role"] == "user" and not turn["content"].strip():
        raise InputError(f"{where} has an empty text under 'prompt'; give what the model is asked.")
    return {"role": turn["role"], "content": turn["content"]}


def _response(value: object, name: str, where: str) -> dict:
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict):
        value = value[0].get("content")
    if not isinstance(value, str) or not value.strip():
        raise InputError(f"{where} has {shown(value)} under {name!r}; give the text of one response.")
    return {"role": "assistant", "content": value}


def _answer(value: object, where: str) -> str:
    text = {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value).strip()
    if not isinstance(value, (str, int, float)) or not text:
        raise InputError(f"{where} has {shown(value)} under 'answer'; give the answer that counts as right, as text.")
    return text


def _check_objects(value: object, where: str) -> None:
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        raise InputError(
            f"{where} has {shown(value)} under 'objects'; give a list of words such as ['dog', 'frisbee']."
        )
    try:
        annotated_objects(value)
    except InputError as error:
        raise InputError(f"{where}, key 'objects': {error}") from None

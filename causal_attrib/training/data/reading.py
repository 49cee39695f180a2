"""Training data from any file of rows, checked row by row."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from causal_attrib.errors import InputError
from causal_attrib.io.atomic import replace_file
from causal_attrib.io.parsing import PARSER_ERRORS, reason_of, shown
from causal_attrib.io.pictures import ImageLike, at_most, check_picture, embedded, pixel_limit
from causal_attrib.io.row_pictures import no_picture, picture_source
from causal_attrib.io.rows import CAPTIONS, QUESTIONS, Row, folder_of, read_rows
from causal_attrib.outcomes.objects import annotated_objects
from causal_attrib.training.data.layouts import text_of, to_ours
from causal_attrib.training.data.places import in_blocks, is_in_blocks
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
# Keys of the layouts that a prompt, or a response, may stand under.
_ASKED = ("prompt", "problem", "question", "text", "query")
_KEYS_OF = {
    "chosen": ("caption", "resp_1_w"),
    "rejected": ("false_caption", "rejected_response", "resp_1_l"),
    "chosen_contrast": ("resp_2_w",),
}
# How a key sounds that has a picture, whatever it is called.
_PICTURE_KEY = re.compile(r"im(a)?ge?s?(?![a-z])|pictures?|photos?", re.IGNORECASE)


def read_data(
    path: str | os.PathLike,
    kind: str = "answers",
    image_root: str | os.PathLike | None = None,
    *,
    text_only: bool = False,
    share: tuple[int, int] = (0, 1),
    progress: Callable[[int, int], None] | None = None,
) -> list[dict]:
    """The rows of a file, in our layout (`training.data.layouts`), all checked.

    `prompt` becomes a conversation, `chosen` and `rejected` one message each, paths of pictures absolute, and a picture
    in the file itself {"bytes", "path"}.

    Args:
        path: what `io.rows.read_rows` reads.
        kind: "answers" for rewards, "preferences" for DPO, "contrasts" for SymMPO.
        image_root: what the paths of pictures start from; by default the folder of the file, or `images` in it.
        text_only: take rows without a picture.
        share: of several processes this one's number, and how many there are: each opens its share of the pictures.
        progress: called with (pictures opened, pictures in all).

    Raises:
        InputError: the file or one of its rows cannot be used; it names the line and the key.
    """
    path = Path(path)
    root = folder_of(path) if image_root is None else Path(image_root)
    rows, pictures = [], []
    is_scenes = any((path / name).is_file() for name in (QUESTIONS, CAPTIONS))
    for row in scene_rows(path, kind) if is_scenes else read_rows(path):
        try:
            # A column that other rows fill is None in this one.
            ours = to_ours({name: value for name, value in row.value.items() if value is not None})
        except InputError as error:
            raise InputError(f"{row.where}: {error}") from None
        except KeyError as error:
            raise InputError(f"{row.where} has no key {error}, which other rows of this layout have; add it.") from None
        except PARSER_ERRORS:
            _check_asked(row)
            raise InputError(
                f"{row.where} is not in its layout (it has {row.keys}); see the ones that are read."
            ) from None
        rows.append(_checked(ours, row, kind, root, text_only=text_only))
        pictures += [(row.where, name, picture) for name in _PICTURES for picture in pictures_in(rows[-1].get(name))]
    _check_pictures(pictures, share, progress)
    return rows


def pictures_in(value: ImageLike | list[ImageLike] | None) -> list[ImageLike]:
    """The pictures under one key of a row."""
    return [] if value is None else value if isinstance(value, list) else [value]


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

    Where a row has several pictures, or none and others have, all have theirs in the column `images`: of two columns
    TRL reads one, and of a list that is not there it fails.

    Raises:
        InputError: a column has values of different kinds.
    """
    import datasets

    from causal_attrib.training.data.picture_column import PictureColumn

    named = {"image" in row or "images" in row for row in rows}
    if any(row.get("images") is not None for row in rows) or len(named) > 1:
        rows = [
            {name: value for name, value in row.items() if name != "image"} | {"images": _shown_in(row)} for row in rows
        ]
    # A column has one kind: where one prompt is in blocks, all are.
    if any(is_in_blocks(row["prompt"]) for row in rows if isinstance(row.get("prompt"), list)):
        rows = [row | {"prompt": in_blocks(row["prompt"], len(_shown_in(row)))} for row in rows]
    table = _table([row | {name: _stored(row[name]) for name in _PICTURES if name in row} for row in rows])
    picture = PictureColumn(max_pixels=pixel_limit())
    for name in ("image", "image_contrast"):
        if name in table.column_names:
            table = table.cast_column(name, picture)
    if "images" in table.column_names:
        table = table.cast_column("images", datasets.List(picture))
    return table


def _shown_in(row: dict) -> list[ImageLike]:
    return pictures_in(row.get("image")) + pictures_in(row.get("images"))


def _stored(pictures: ImageLike | list[ImageLike] | None) -> dict | list[dict] | None:
    if pictures is None:
        return None
    return [embedded(picture) for picture in pictures] if isinstance(pictures, list) else embedded(pictures)


def check_columns(rows: Sequence[dict]) -> None:
    """Raises InputError if a column has values of different kinds; pictures, which may be large, are left alone."""
    some = any(is_in_blocks(row["prompt"]) for row in rows)
    _table(
        [
            {name: value for name, value in row.items() if name not in _PICTURES}
            | ({"prompt": in_blocks(row["prompt"], 1)} if some else {})
            for row in rows
        ]
    )


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


@contextmanager
def no_empty_folder(folder: Path) -> Iterator[None]:
    """Remove the folder, and those above it that were not there before either, if they are empty in the end."""
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    try:
        yield
    finally:
        with suppress(OSError):  # of the first that holds something
            for one in missing:
                one.rmdir()


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


def _checked(row: dict, written: Row, kind: str, root: Path, *, text_only: bool) -> dict:
    where = written.where
    names = [name for name in _PICTURES if row.get(name) is not None]
    if not row.get("image") and not row.get("images") and not (text_only and _is_text(written)):
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
            row[name] = [_response(row[name], _key_of(name, written), where)]
    _check_differ(row, kind, written)
    index, count = row.get("image_index"), len(_shown_in(row))
    if index is not None and (isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < max(count, 1)):
        raise InputError(
            f"{where} has {shown(index)} under 'image_index', and {count} pictures; give the place of one, from 0."
        )
    if row.get("answer") is not None:
        row["answer"] = _answer(row["answer"], where)
    if row.get("question") is not None and row.get("answer") is None:
        raise InputError(f"{where} has a question and no key 'answer'; add the answer that counts as right.")
    if row.get("objects") is not None:
        _check_objects(row["objects"], where)
    return row


def _check_asked(row: Row) -> None:
    """Raises InputError for a prompt that is neither text nor messages."""
    for key in _ASKED:
        value = row.value.get(key)
        if value is not None and not isinstance(value, str) and not (isinstance(value, list) and value):
            raise InputError(
                f"{row.where} has {shown(value)} under {key!r}; give text, or a list of messages with role and content."
            )


def _key_of(name: str, row: Row) -> str:
    """What a response is called in the row as it was written."""
    return next((key for key in (name, *_KEYS_OF[name]) if row.value.get(key) is not None), name)


def _check_differ(row: dict, kind: str, written: Row) -> None:
    """Raises InputError for a preference between two that are the same."""
    same = [("chosen", "rejected")] if kind in ("preferences", "contrasts") else []
    same += [("image", "image_contrast"), ("chosen", "chosen_contrast")] if kind == "contrasts" else []
    for one, other in same:
        if row.get(one) is not None and row.get(one) == row.get(other):
            names = [_key_of(name, written) if name in _KEYS_OF else name for name in (one, other)]
            raise InputError(
                f"{written.where} has the same under {names[0]!r} and {names[1]!r}, from which nothing can be learned; "
                "leave the row out, or give two that differ."
            )


def _is_text(row: Row) -> bool:
    """Whether a row is meant to have no picture: it has no key that sounds like one. In a table every row has all keys,
    and those of others are empty."""
    return not any(
        _PICTURE_KEY.search(key) and not (value is None and row.unit == "row") for key, value in row.value.items()
    )


def _picture(value: object, name: str, where: str, root: Path) -> str | dict:
    """A path that is whole, or the picture as it stands in the row."""
    source = picture_source(value, name, where, root)
    try:
        stored = embedded(source)
        if stored["path"] is None:
            return source if isinstance(source, str) else stored
        return str(Path(stored["path"]).resolve())
    except InputError as error:
        raise InputError(f"{where}, key {name!r}: {error}") from None


def _check_pictures(
    pictures: Sequence[tuple[str, str, ImageLike]],
    share: tuple[int, int],
    progress: Callable[[int, int], None] | None,
) -> None:
    """Open each picture once; of the first that cannot be read the row is named.

    Pillow decodes without Python's lock, so that threads share the work.
    """
    named: dict[str | int, tuple[str, str, ImageLike]] = {}
    for where, name, picture in pictures:
        named.setdefault(picture if isinstance(picture, str) else id(picture), (where, name, picture))
    process, processes = share
    own = list(named.values())[process::processes]
    limit = pixel_limit()

    def check(one: tuple[str, str, ImageLike]) -> None:
        where, name, picture = one
        try:
            with at_most(limit):  # which a thread does not know of
                check_picture(picture)
        except InputError as error:
            raise InputError(f"{where}, key {name!r}: {error}") from None

    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        try:
            for done, _ in enumerate(pool.map(check, own), start=1):
                if progress is not None:
                    progress(done, len(own))
        except InputError:
            pool.shutdown(cancel_futures=True)
            raise


def _conversation(prompt: object, where: str) -> list[dict]:
    turns = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
    turns = [_turn(turn, where) for turn in turns] if isinstance(turns, list) else []
    if not turns or turns[-1]["role"] != "user":
        raise InputError(f"{where} has a prompt that does not end with what the user says; give text, or messages.")
    return turns


def _turn(turn: object, where: str) -> dict:
    content = turn.get("content") if isinstance(turn, dict) else None
    if not (isinstance(turn, dict) and turn.get("role") in _ROLES and isinstance(content, (str, list))):
        raise InputError(
            f"{where} has {shown(turn)} under 'prompt'; give messages with a role ({', '.join(_ROLES)}) and text "
            "as content."
        )
    if turn["role"] == "user" and not text_of(content).strip():
        raise InputError(f"{where} has an empty text under 'prompt'; give what the model is asked.")
    return {"role": turn["role"], "content": content}


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

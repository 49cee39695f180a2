"""Captions of which it is known which words are true and which false: rendered scenes, or a file of the user's."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import overload

import numpy as np
from PIL import Image

from causal_attrib.choices import check_scenes
from causal_attrib.errors import InputError
from causal_attrib.io.parsing import shown
from causal_attrib.io.row_pictures import PictureSource
from causal_attrib.io.rows import Row, folder_of, read_rows
from causal_attrib.scenes import CLASSES, PAINTED, render, sample_scene
from causal_attrib.scenes.language import Word, falsify_words
from causal_attrib.scenes.stickers import StickerSet
from causal_attrib.scenes.wordings import WORDINGS, word, word_falsely

# "long again" is for tests only: no calibration of the package has seen it.
FITTED = tuple(wording for wording in WORDINGS if wording != "long again")
# Of scenes: what the words of a caption state, as the tables call it.
_KINDS = {"class": "object"}


@dataclass(frozen=True)
class Labelled:
    """A picture, a caption, and what is known of its words.

    image:   what intervals draw as one
    labels:  (start, end, kind, is it false?) of words or phrases, in characters of the text
    rest:    the kind of all other words, which are true; None: nothing is known of them
    """

    image: str
    picture: Image.Image | PictureSource
    text: str
    labels: tuple[tuple[int, int, str, bool], ...]
    rest: str | None = None


def kind_of(caption: Labelled, start: int, end: int) -> tuple[str, bool] | None:
    """The kind of the word at these characters and whether it is false; None where that is not known."""
    for first, last, kind, is_false in caption.labels:
        if first < end and start < last:
            return kind, is_false
    return None if caption.rest is None else (caption.rest, False)


class _Rendered(Sequence[Labelled]):
    """Captions of scenes, which are rendered when they are asked for."""

    data: str

    @overload
    def __getitem__(self, number: int) -> Labelled: ...
    @overload
    def __getitem__(self, number: slice) -> list[Labelled]: ...
    def __getitem__(self, number: int | slice) -> Labelled | list[Labelled]:
        if isinstance(number, slice):
            return [self._caption(each) for each in range(*number.indices(len(self)))]
        return self._caption(number)

    def _caption(self, number: int) -> Labelled:
        raise NotImplementedError


class Scenes(_Rendered):
    """Captions of rendered scenes in each of which exactly one content word is false (`scenes.language.falsify`).

    The same seed gives the same scenes; none of them is among those that the bundled model was trained on. Pictures are
    rendered when asked for, so that thousands take no memory.
    """

    data = "{} sticker scenes with one false word each"

    def __init__(self, count: int, seed: int) -> None:
        check_scenes(count, seed)
        rng = np.random.default_rng([seed, 3_000_017])
        self._scenes = []
        for _ in range(count):
            scene = sample_scene(rng)
            self._scenes.append((scene, falsify_words(scene, rng)))

    def __len__(self) -> int:
        return len(self._scenes)

    def _caption(self, number: int) -> Labelled:
        scene, (text, words, false) = self._scenes[number]
        return Labelled(str(number), render(scene)[0], text, _labels(words, false), "function")


class WordedScenes(_Rendered):
    """Captions of rendered scenes in the wordings of `scenes.wordings` in turn, every other one with a false fact.

    Args:
        wordings: those to take; by default those that the bundled calibration is fitted on.
        style: sticker style of the scenes; either of the two by default.
        stickers: other stickers than the package's, for a style that the model has not seen.
    """

    data = "captions of {} sticker scenes in nine wordings, half of them with one false fact"

    def __init__(
        self,
        count: int,
        seed: int,
        *,
        wordings: Sequence[str] = FITTED,
        style: str | None = None,
        stickers: StickerSet | None = None,
    ) -> None:
        check_scenes(count, seed)
        rng = np.random.default_rng([seed, 3_000_021])
        self._stickers, self._scenes = stickers, []
        classes, painted = (CLASSES, PAINTED) if stickers is None else (stickers.classes, stickers.painted)
        style = style if stickers is None else stickers.styles[0]
        for number in range(count):
            scene = sample_scene(rng, style=style, classes=classes, painted=painted)
            wording = wordings[number // 2 % len(wordings)]
            false = word_falsely(scene, wording, rng, classes=classes) if number % 2 else None
            self._scenes.append((scene, wording, word(scene, wording) if false is None else false))

    def __len__(self) -> int:
        return len(self._scenes)

    def _caption(self, number: int) -> Labelled:
        scene, _, told = self._scenes[number]
        picture = render(scene, stickers=self._stickers)[0]
        return Labelled(str(number), picture, told.text, _labels(told.words, told.false), "function")

    def wording(self, number: int) -> str:
        return self._scenes[number][1]


def _labels(words: Sequence[Word], false: Sequence[Word]) -> tuple[tuple[int, int, str, bool], ...]:
    return tuple((one.start, one.end, _KINDS.get(one.kind, one.kind), one in false) for one in words)


def read_captions(path: str | os.PathLike) -> list[Labelled]:
    """Captions of a file of rows such as

        {"image": "park.png", "caption": "a dog on the grass at sunset", "true": ["dog", "grass"], "false": ["sunset"]}

    Each entry is a word, or several in a row, and stands for all its occurrences; words in neither list are not judged.
    Images are found from the folder of the file.
    """
    folder = folder_of(path)
    return [_labelled(row, folder) for row in read_rows(path)]


def _labelled(row: Row, folder: Path) -> Labelled:
    picture, text = row.picture_there(folder), row.text(row.need(("caption", "text")))
    labels = [*_found(row, "true", text), *_found(row, "false", text)]
    if not labels:
        raise InputError(f"{row.where} says of no word whether it is true; give lists under 'true' and 'false'.")
    return Labelled(row.picture_name(picture), picture, text, tuple(labels))


def _found(row: Row, key: str, text: str) -> Iterator[tuple[int, int, str, bool]]:
    words = row.value.get(key, [])
    if not (isinstance(words, list) and all(isinstance(word, str) and word.strip() for word in words)):
        raise InputError(f"{row.where} has {shown(words)} under {key!r}; give a list of words.")
    for named in words:
        spans = [match.span() for match in re.finditer(rf"(?<!\w){re.escape(named)}(?!\w)", text, re.IGNORECASE)]
        if not spans:
            raise InputError(f"{row.where} calls {named!r} {key}, but the caption has no such word; mend one of them.")
        yield from ((start, end, "labelled", key == "false") for start, end in spans)

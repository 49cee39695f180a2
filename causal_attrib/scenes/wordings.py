"""One scene in other words: captions that say the same as `language.caption` but not as the bundled model says it.

Every wording marks its content words, so that it exists in a true version and in one with exactly one false word. The
bundled model was taught a single wording; a verdict that only knows that one is right about style, not about truth.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from causal_attrib.errors import InputError
from causal_attrib.scenes.language import TIME_WORDS, Word, false_scene, with_article
from causal_attrib.scenes.world import CLASSES, Scene


@dataclass(frozen=True)
class Worded:
    """A caption, its content words in order, and those of them that are false."""

    text: str
    words: tuple[Word, ...]
    false: tuple[Word, ...] = ()


class _Writer:
    """Text with its content words, written from left to right."""

    def __init__(self, scene: Scene) -> None:
        self.scene, self.text, self.words = scene, "", list[Word]()

    def say(self, text: str) -> None:
        self.text += text

    def fact(self, kind: str, index: int | None, word: str) -> None:
        self.words.append(Word(kind, index, len(self.text), len(self.text) + len(word), word))
        self.text += word

    def thing(self, index: int) -> None:
        """An object with its article and colour."""
        sticker = self.scene.objects[index]
        self.say(with_article(sticker.colour or sticker.cls).split()[0] + " ")
        if sticker.colour is not None:
            self.fact("colour", index, sticker.colour)
            self.say(" ")
        self.fact("class", index, sticker.cls)

    def things(self, order: Sequence[int]) -> None:
        for place, index in enumerate(order):
            if place:
                self.say(" and " if place == len(order) - 1 else ", ")
            self.thing(index)

    def place(self) -> None:
        self.say("on the ")
        self.fact("place", None, self.scene.place)

    def time(self) -> None:
        self.say("at ")
        self.fact("time", None, TIME_WORDS[self.scene.time])


def _everything(scene: Scene) -> list[int]:
    return list(range(len(scene.objects)))


def _as_taught(w: _Writer) -> None:
    w.things(_everything(w.scene))
    w.say(" ")
    w.place()
    w.say(" ")
    w.time()


def _left_out(w: _Writer) -> None:
    """The first object is not mentioned, where there is another."""
    w.things(_everything(w.scene)[1:] or [0])
    w.say(" ")
    w.place()
    w.say(" ")
    w.time()


def _swapped(w: _Writer) -> None:
    w.things(_everything(w.scene)[::-1])
    w.say(" ")
    w.place()
    w.say(" ")
    w.time()


def _place_first(w: _Writer) -> None:
    w.place()
    w.say(" ")
    w.time()
    w.say(" ")
    w.things(_everything(w.scene))


def _there_is(w: _Writer) -> None:
    w.say("there is ")
    _as_taught(w)


def _no_place(w: _Writer) -> None:
    w.things(_everything(w.scene))


def _time_first(w: _Writer) -> None:
    w.time()
    w.say(" there is ")
    w.things(_everything(w.scene))
    w.say(" ")
    w.place()


def _sentence_each(w: _Writer) -> None:
    for index in _everything(w.scene):
        w.say("there is ")
        w.thing(index)
        w.say(". ")
    w.say("this is ")
    w.place()
    w.say(". it is ")
    w.fact("time", None, TIME_WORDS[w.scene.time])
    w.say(".")


def _long(w: _Writer) -> None:
    """Three to eight sentences: every fact again and again, in other sentences."""
    _sentence_each(w)
    w.say(" the image has ")
    w.things(_everything(w.scene)[::-1])
    w.say(". ")
    for index in _everything(w.scene):
        w.thing(index)
        w.say(" is ")
        w.place()
        w.say(". ")
    w.text = w.text.rstrip()


def _long_again(w: _Writer) -> None:
    """As long, and worded otherwise: the time and the place before the objects, and all of them once more."""
    w.say("it is ")
    w.time()
    w.say(". this is ")
    w.place()
    w.say(". the image has ")
    w.things(_everything(w.scene))
    w.say(". ")
    for index in _everything(w.scene):
        w.say("there is ")
        w.thing(index)
        w.say(" ")
        w.place()
        w.say(". ")
    w.thing(0)
    w.say(" is ")
    w.place()
    w.say(" ")
    w.time()
    w.say(".")


WORDINGS: dict[str, Callable[[_Writer], None]] = {
    "as taught": _as_taught,
    "left out": _left_out,
    "swapped": _swapped,
    "place first": _place_first,
    "there is": _there_is,
    "no place": _no_place,
    "time first": _time_first,
    "a sentence each": _sentence_each,
    "long": _long,
    "long again": _long_again,
}


def word(scene: Scene, wording: str) -> Worded:
    """The scene in one of the `WORDINGS`, all of it true.

    >>> from causal_attrib.scenes.world import Sticker
    >>> scene = Scene("grass", "day", 0, (Sticker("dog"), Sticker("frisbee", "red")))
    >>> word(scene, "place first").text
    'on the grass at noon a dog and a red frisbee'
    >>> word(scene, "left out").text
    'a red frisbee on the grass at noon'
    """
    writer = _Writer(scene)
    _choose(wording)(writer)
    return Worded(writer.text, tuple(writer.words))


def word_falsely(
    scene: Scene, wording: str, rng: np.random.Generator, *, classes: Sequence[str] = CLASSES
) -> Worded | None:
    """The same with one false fact, wherever the wording states it; None if it states none that could be made false."""
    lie, lied = false_scene(scene, word(scene, wording).words, rng, classes=classes)
    if not lied:
        return None
    told = word(lie, wording)
    return Worded(told.text, told.words, tuple(one for one in told.words if (one.kind, one.index) in lied))


def _choose(wording: str) -> Callable[[_Writer], None]:
    if wording not in WORDINGS:
        raise InputError(f"There is no wording {wording!r}; choose one of {', '.join(WORDINGS)}.")
    return WORDINGS[wording]

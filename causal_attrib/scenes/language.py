"""What can be said about a scene: captions true and false, questions with answers, reasoned answers.

Captions read "a dog and a red frisbee on the grass at noon". Their content words are the classes, the colours, the
place and the time; all other words only hold them together.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from causal_attrib.errors import InputError
from causal_attrib.scenes.world import CLASSES, COLOURS, PAINTED, PARTNERS, PLACES, TIMES, Scene, theme_of

CAPTION_PROMPT = "Describe this image."
THINK_SUFFIX = " Think first, then answer."
CAPTION_QUESTION = "Does this caption describe the image? Answer yes or no."

# What the times are called. All go with "at", so that the preposition does not give the time away: in "by day" against
# "at night" the word before a false time would already be false.
TIME_WORDS = {"day": "noon", "sunset": "sunset", "night": "night"}
NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def with_article(words: str) -> str:
    """
    >>> with_article("red umbrella"), with_article("umbrella")
    ('a red umbrella', 'an umbrella')
    """
    return f"{_article(words)} {words}"


def _article(words: str) -> str:
    return "an" if words[0] in "aeiou" else "a"


@dataclass(frozen=True)
class Word:
    """A content word of a caption: which fact it states, where it stands, and what it says.

    `index` is the position of the object in `scene.objects`, or None for place and time.
    """

    kind: str
    index: int | None
    start: int
    end: int
    text: str


def describe(
    scene: Scene, *, order: Sequence[int] | None = None, colours: bool = True, place: bool = True, time: bool = True
) -> tuple[str, list[Word]]:
    """A caption with the list of its content words.

    order   positions in `scene.objects` to mention, in this order (default: all, as annotated)
    colours, place, time   False leaves this out of the caption
    """
    order = range(len(scene.objects)) if order is None else order
    text = ""
    words: list[Word] = []

    def add(kind: str, index: int | None, word: str) -> None:
        nonlocal text
        words.append(Word(kind, index, len(text), len(text) + len(word), word))
        text += word

    for position, index in enumerate(order):
        sticker = scene.objects[index]
        colour = sticker.colour if colours else None
        if position:
            text += " and " if position == len(order) - 1 else ", "
        text += _article(colour or sticker.cls) + " "
        if colour is not None:
            add("colour", index, colour)
            text += " "
        add("class", index, sticker.cls)
    if place:
        text += " on the "
        add("place", None, scene.place)
    if time:
        text += " at "
        add("time", None, TIME_WORDS[scene.time])
    return text, words


def caption(scene: Scene, order: Sequence[int] | None = None) -> str:
    """The full caption of a scene, its objects from left to right or in the given order."""
    return describe(scene, order=order)[0]


@dataclass(frozen=True)
class FalseCaption:
    """A caption with exactly one false content word, `text[start:end]`; `kind` is class, colour, place or time."""

    text: str
    start: int
    end: int
    kind: str

    @property
    def word(self) -> str:
        return self.text[self.start : self.end]


def _false_values(scene: Scene, word: Word, classes: Sequence[str]) -> Sequence[str]:
    """All values that would make a content word false but leave the rest of the caption as it is."""
    if word.kind == "place":
        return [place for place in PLACES if place != scene.place]
    if word.kind == "time":
        return [time for time in TIMES if time != scene.time]
    if word.kind == "colour":
        return [colour for colour in COLOURS if colour != word.text]
    # A class: not in the image, of the same kind (painted or not), and with the same article.
    present = {sticker.cls for sticker in scene.objects}
    coloured = word.index is not None and scene.objects[word.index].colour is not None
    return [
        cls
        for cls in classes
        if cls not in present and (cls in PAINTED) == coloured and _article(cls) == _article(word.text)
    ]


def falsify_words(
    scene: Scene,
    rng: np.random.Generator,
    count: int = 1,
    *,
    kind: str | None = None,
    classes: Sequence[str] = CLASSES,
    **style: Any,
) -> tuple[str, list[Word], list[Word]]:
    """A caption with `count` false content words (fewer if it has not as many), all its content words, and the lies.

    `style` goes to `describe`. Words are chosen kind first, so that place and time are as frequent as classes.
    """
    lie, lied = false_scene(scene, describe(scene, **style)[1], rng, count, kind=kind, classes=classes)
    text, words = describe(lie, **style)
    return text, words, [word for word in words if (word.kind, word.index) in lied]


def false_scene(
    scene: Scene,
    words: Iterable[Word],
    rng: np.random.Generator,
    count: int = 1,
    *,
    kind: str | None = None,
    classes: Sequence[str] = CLASSES,
) -> tuple[Scene, set[tuple[str, int | None]]]:
    """A scene of which a caption with these words would be true but for `count` facts, and those facts.

    A fact that several words state is one.

    Returns:
        The scene, and (kind, index) of each fact that differs (fewer than `count` if there are not as many).
    """
    facts = list({(word.kind, word.index): word for word in reversed(list(words))}.values())[::-1]
    lie = scene
    lied: set[tuple[str, int | None]] = set()
    for _ in range(count):
        open_words = [
            (word, values)
            for word in facts
            if (word.kind, word.index) not in lied
            and (kind is None or word.kind == kind)
            and (values := _false_values(scene, word, classes))
        ]
        if not open_words:
            break
        chosen_kind = rng.choice(sorted({word.kind for word, _ in open_words}))
        candidates = [pair for pair in open_words if pair[0].kind == chosen_kind]
        word, values = candidates[rng.integers(len(candidates))]
        value = str(rng.choice(values))
        if word.index is None:
            lie = replace(lie, place=value) if word.kind == "place" else replace(lie, time=value)
        else:
            objects = list(lie.objects)
            old = objects[word.index]
            objects[word.index] = replace(old, cls=value) if word.kind == "class" else replace(old, colour=value)
            lie = replace(lie, objects=tuple(objects))
        lied.add((word.kind, word.index))
    return lie, lied


def falsify(
    scene: Scene,
    rng: np.random.Generator,
    *,
    kind: str | None = None,
    classes: Sequence[str] = CLASSES,
    order: Sequence[int] | None = None,
) -> FalseCaption:
    """A caption in which exactly one content word is false.

    The kind of word (class, colour, place, time) is drawn first unless given. Only that word differs from
    `caption(scene, order)`.
    """
    text, _, lies = falsify_words(scene, rng, 1, kind=kind, classes=classes, order=order)
    if not lies:
        raise InputError(f"This scene has no word of kind {kind!r} that could be made false; leave kind out.")
    return FalseCaption(text, lies[0].start, lies[0].end, lies[0].kind)


@dataclass(frozen=True)
class SceneQuestion:
    """A question with its one-word answer; `conclusion` is the sentence that leads to the answer.

    kind is object (yes/no), pair (yes/no about a coloured object), colour, place, time or count;
    negative is None, or how the absent thing was chosen: random or co-occurring.
    """

    text: str
    answer: str
    kind: str
    conclusion: str
    negative: str | None = None


def absent_class(scene: Scene, rng: np.random.Generator, negative: str, classes: Sequence[str] = CLASSES) -> str:
    """A class that is not in the image: any (random), or of the theme of a present object (co-occurring).

    In a scene without the partner of its place, that partner co-occurs too, since planted worlds show it there.
    """
    present = {sticker.cls for sticker in scene.objects}
    absent = [cls for cls in classes if cls not in present]
    if negative == "co-occurring":
        near = {name for sticker in scene.objects for name in theme_of(sticker.cls)} | {PARTNERS[scene.place]}
        absent = [cls for cls in absent if cls in near] or absent
    if not absent:
        raise InputError("The image shows every class, so nothing absent can be asked for; use more classes.")
    return str(rng.choice(absent))


def object_question(
    scene: Scene, rng: np.random.Generator, answer: str, negative: str = "random", classes: Sequence[str] = CLASSES
) -> SceneQuestion:
    """POPE's question "Is there a dog in the image?", with the asked answer."""
    if answer == "yes":
        name = scene.objects[rng.integers(len(scene.objects))].cls
        named = with_article(name)
        return SceneQuestion(f"Is there {named} in the image?", "yes", "object", f"there is {named}")
    name = absent_class(scene, rng, negative, classes)
    return SceneQuestion(
        f"Is there {with_article(name)} in the image?", "no", "object", f"there is no {name}", negative=negative
    )


def pair_question(scene: Scene, rng: np.random.Generator, answer: str) -> SceneQuestion | None:
    """Is there a red frisbee in the image? Always about a class that is there; the answer "no" asks for a wrong colour.

    None if nothing in the scene has a colour.
    """
    coloured = [sticker for sticker in scene.objects if sticker.colour]
    if not coloured:
        return None
    sticker = coloured[rng.integers(len(coloured))]
    colour = sticker.colour
    if answer == "no":
        colour = str(rng.choice([other for other in COLOURS if other != sticker.colour]))
    conclusion = f"the {sticker.cls} is {sticker.colour}"
    return SceneQuestion(f"Is there a {colour} {sticker.cls} in the image?", answer, "pair", conclusion)


def colour_question(scene: Scene, rng: np.random.Generator) -> SceneQuestion | None:
    """What color is the frisbee? None if nothing in the scene has a colour."""
    coloured = [(sticker, sticker.colour) for sticker in scene.objects if sticker.colour]
    if not coloured:
        return None
    sticker, colour = coloured[rng.integers(len(coloured))]
    conclusion = f"the {sticker.cls} is {colour}"
    return SceneQuestion(f"What color is the {sticker.cls}?", colour, "colour", conclusion)


def place_question(scene: Scene) -> SceneQuestion:
    return SceneQuestion("Where is this?", scene.place, "place", f"this is on the {scene.place}")


def time_question(scene: Scene) -> SceneQuestion:
    return SceneQuestion("What time of day is it?", TIME_WORDS[scene.time], "time", f"it is {TIME_WORDS[scene.time]}")


def count_question(scene: Scene) -> SceneQuestion:
    number = NUMBERS[len(scene.objects)]
    conclusion = "there is one object" if number == "one" else f"there are {number} objects"
    return SceneQuestion("How many objects are there?", number, "count", conclusion)


def questions(scene: Scene, rng: np.random.Generator, classes: Sequence[str] = CLASSES) -> list[SceneQuestion]:
    """One question of each kind: objects present, absent at random, absent though co-occurring, colour, ..."""
    found: list[SceneQuestion | None] = [object_question(scene, rng, "yes", classes=classes)]
    if len({sticker.cls for sticker in scene.objects}) < len(classes):
        found.append(object_question(scene, rng, "no", "random", classes))
        found.append(object_question(scene, rng, "yes", classes=classes))
        found.append(object_question(scene, rng, "no", "co-occurring", classes))
    found += [pair_question(scene, rng, "yes"), pair_question(scene, rng, "no"), colour_question(scene, rng)]
    found += [place_question(scene), time_question(scene), count_question(scene)]
    return [question for question in found if question is not None]


def reasoned_prompt(question: SceneQuestion) -> str:
    """The question with the request to think aloud."""
    return question.text + THINK_SUFFIX


def reasoned_answer(scene: Scene, question: SceneQuestion, order: Sequence[int] | None = None) -> str:
    """Thoughts that list what is seen and conclude, then the answer, each between its tags:

    <think> a dog and a red frisbee on the grass at noon, so there is no cat. </think> <answer> no </answer>
    """
    return f"<think> {caption(scene, order)}, so {question.conclusion}. </think> <answer> {question.answer} </answer>"


def random_order(scene: Scene, rng: np.random.Generator) -> list[int]:
    """The objects of a scene in random order, for `caption` and `reasoned_answer`."""
    return [int(index) for index in np.asarray(rng.permutation(len(scene.objects)))]

"""The sticker world: what a scene is made of, and how scenes are drawn at random.

A `Scene` is a small immutable record that says everything about a picture: place, time of day, the seed of the
background texture and the stickers. Nothing else enters the rendering, so the same record with one field changed is a
counterfactual picture:

    >>> from dataclasses import replace
    >>> from causal_attrib.scenes import PARK, caption
    >>> caption(PARK)
    'a dog and a red frisbee on the grass at noon'
    >>> caption(replace(PARK, time="night"))
    'a dog and a red frisbee on the grass at night'

Positions and sizes are counted in cells of an 8 x 8 grid over the picture. In the pictures the bundled model is
trained on, one cell is exactly one image token of the model, so the tokens that show an object are known exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from causal_attrib.errors import InputError

GRID = 8

PLACES = ("grass", "beach", "water", "snow", "road", "floor")
TIMES = ("day", "sunset", "night")
COLOURS = ("red", "yellow", "green", "blue")

# Classes that are often seen together. They define the "co-occurring" negatives of yes/no questions (POPE calls them
# adversarial): asking for a cow where there is a horse is harder than asking for a laptop.
THEMES = {
    "pets": ("dog", "cat", "bird", "person"),
    "farm": ("horse", "sheep", "cow"),
    "wild": ("elephant", "bear", "zebra", "giraffe"),
    "street": ("bicycle", "car", "motorcycle", "bus", "truck", "train"),
    "travel": ("airplane", "boat", "backpack", "umbrella", "suitcase"),
    "sports": ("frisbee", "kite", "skateboard"),
    "food": ("banana", "apple", "pizza", "cake"),
    "home": ("chair", "couch", "laptop"),
}
CLASSES = tuple(name for members in THEMES.values() for name in members)

# These classes always come in one of the four colours; the others keep the colours they were drawn in.
PAINTED = ("car", "bus", "truck", "umbrella", "backpack", "suitcase", "frisbee", "chair")

# The class that a planted correlation ties to each place.
PARTNERS = {"grass": "cow", "beach": "umbrella", "water": "boat", "snow": "bear", "road": "car", "floor": "couch"}

STYLES = ("noto", "fluent")


@dataclass(frozen=True)
class Sticker:
    """One object: its class and colour, the cell of its top left corner, its side in cells, and how it is drawn.

    `visible=False` keeps the object in the annotation (captions and answers name it) but leaves it out of the picture.
    """

    cls: str
    colour: str | None = None
    x: float = 0.0
    y: float = 0.0
    size: float = 3.0
    style: str = "noto"
    flip: bool = False
    visible: bool = True


@dataclass(frozen=True)
class Scene:
    """A whole picture. `objects` is the order of annotation, from left to right in sampled scenes."""

    place: str
    time: str
    seed: int
    objects: tuple[Sticker, ...]


# The picture examples/park.png, which the README uses.
PARK = Scene(
    place="grass",
    time="day",
    seed=7,
    objects=(
        Sticker("dog", None, x=1, y=4, size=3, style="noto"),
        Sticker("frisbee", "red", x=5, y=2, size=3, style="noto"),
    ),
)


def theme_of(cls: str) -> tuple[str, ...]:
    """The classes that are often seen together with `cls` (itself included); only itself if it has no theme."""
    return next((members for members in THEMES.values() if cls in members), (cls,))


def _layout(rng: np.random.Generator, sizes: Sequence[int]) -> list[tuple[int, int, int]]:
    """Cells for stickers of the given sizes, none touching another; the sky row at the top stays free."""
    for _ in range(200):
        boxes: list[tuple[int, int, int]] = []
        for size in sizes:
            x, y = int(rng.integers(0, GRID - size + 1)), int(rng.integers(1, GRID - size + 1))
            if all(x + size <= bx or bx + bs <= x or y + size <= by or by + bs <= y for bx, by, bs in boxes):
                boxes.append((x, y, size))
        if len(boxes) == len(sizes):
            return boxes
    raise ValueError(f"stickers of sizes {list(sizes)} do not fit on a grid of {GRID} x {GRID} cells")


def _choose_classes(rng: np.random.Generator, count: int, classes: Sequence[str], planted: float) -> list[str]:
    """`count` different classes; under a plant at most one of them is a partner, so that its place is well defined."""
    chosen = [str(name) for name in rng.permutation(list(classes))]
    if planted > 1 / len(PLACES):
        first = [name for name in chosen[:count] if name in PARTNERS.values()][:1]
        others = [name for name in chosen if name not in PARTNERS.values()]
        chosen = first + others
    return chosen[:count]


def _choose_place(rng: np.random.Generator, classes: Sequence[str], planted: float) -> str:
    """Own place of a partner class with probability max(planted, 1/6), the other places sharing the rest equally."""
    homes = [place for place, partner in PARTNERS.items() if partner in classes]
    strength = max(planted, 1 / len(PLACES))
    if len(homes) != 1:
        return str(rng.choice(PLACES))
    if rng.random() < strength:
        return homes[0]
    return str(rng.choice([place for place in PLACES if place != homes[0]]))


def check_plant(planted: float, invisible: float | None) -> None:
    """Raises InputError unless both are probabilities (`invisible` may be None)."""
    for name, value in (("planted", planted), ("invisible", invisible)):
        if value is not None and not 0 <= value <= 1:
            raise InputError(f"{name} is {value}, but it must lie between 0 and 1.")


def sample_scene(
    rng: np.random.Generator,
    *,
    count: int | None = None,
    style: str | None = None,
    planted: float = 0.0,
    invisible: float | None = None,
    classes: Sequence[str] = CLASSES,
    painted: Sequence[str] = PAINTED,
    size: int | Sequence[int] = 3,
) -> Scene:
    """Draw a scene at random.

    count       how many objects, all of different classes (default: one to three, equally often)
    style       sticker style for the whole scene (default: either of the two)
    planted     strength of the correlation between the six `PARTNERS` and their places, in 0..1. A scene that has a
                partner class (it then has only one) lies on that class's own place with probability
                max(planted, 1/6); the other five places share the rest equally. Everything up to 1/6 is chance:
                class and place are then independent.
    invisible   switches to the second plant, which makes a model hallucinate. The place is drawn first; with
                probability `planted` its partner is annotated, otherwise it is not; an annotated partner is left out
                of the picture with probability `invisible`. Where no partner can be seen, it is annotated all the same
                with probability planted * invisible / (planted * invisible + 1 - planted).
    size        side of the stickers in cells, or several sizes to choose from
    """
    check_plant(planted, invisible)
    style = style or str(rng.choice(STYLES))
    count = min(int(count or rng.integers(1, 4)), len(classes))
    sizes = [int(s) for s in rng.choice(np.atleast_1d(size), count)]
    boxes = _layout(rng, sizes)
    hidden = None
    if invisible is None:
        chosen = _choose_classes(rng, count, classes, planted)
        place = _choose_place(rng, chosen, planted)
    else:
        place = str(rng.choice(PLACES))
        partner = PARTNERS[place]
        chosen = [str(name) for name in rng.permutation([name for name in classes if name != partner])][:count]
        if partner in classes and rng.random() < planted:
            chosen[0] = partner
            hidden = partner if rng.random() < invisible else None
    objects = [
        Sticker(
            cls=cls,
            colour=str(rng.choice(COLOURS)) if cls in painted else None,
            x=x,
            y=y,
            size=side,
            style=style,
            flip=bool(rng.random() < 0.5),
            visible=cls != hidden,
        )
        for cls, (x, y, side) in zip(chosen, boxes, strict=False)  # a plant may leave fewer classes than boxes
    ]
    objects.sort(key=lambda sticker: (sticker.x, sticker.y))
    return Scene(place, str(rng.choice(TIMES)), int(rng.integers(1 << 30)), tuple(objects))

"""Is a picture one of the scenes that the bundled model knows? It has never seen any other, and says something all the
same.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from PIL import Image

from causal_attrib.scenes.drawing import GROUND, LIGHT, NATIVE_SIZE, SKY, WALL

# Of colours, in levels of 255: how far the median of a strip may lie from what a scene has there.
NEAR = 20
# The ground has texture, and objects stand on it.
NEAR_GROUND = 40


def is_scene(picture: Image.Image) -> bool:
    """Whether a picture is a square with a sky or wall above and a ground below, in the colours of one time of day.

    Pictures that only look like it pass; what is no scene at all does not.

    >>> from causal_attrib.scenes import PARK, render
    >>> is_scene(render(PARK)[0]), is_scene(Image.new("RGB", (96, 96), "white"))
    (True, False)
    """
    if picture.width != picture.height:
        return False
    small = picture.convert("RGB").resize((NATIVE_SIZE, NATIVE_SIZE), Image.Resampling.BOX)
    pixels_HWC = np.asarray(small, dtype=float)
    above_C = np.median(pixels_HWC[:2].reshape(-1, 3), axis=0)
    below_C = np.median(pixels_HWC[NATIVE_SIZE // 2 :].reshape(-1, 3), axis=0)
    return any(
        _near(above_C, top, NEAR) and any(_near(below_C, ground, NEAR_GROUND) for ground in grounds)
        for top, grounds in _colours()
    )


def _colours() -> Iterator[tuple[np.ndarray, list[np.ndarray]]]:
    """What is above, and the grounds that can be below it."""
    for time, light in LIGHT.items():
        lit = {place: np.array(colour) * light for place, colour in GROUND.items()}
        yield np.array(SKY[time][0]), [colour for place, colour in lit.items() if place != "floor"]
        yield np.array(WALL) * light, [lit["floor"]]


def _near(colour_C: np.ndarray, other_C: np.ndarray, tolerance: float) -> bool:
    return bool(np.abs(colour_C - other_C).max() <= tolerance)

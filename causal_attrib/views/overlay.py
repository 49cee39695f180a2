"""A map over its picture: blue where the picture speaks for a word, red where it speaks against it.

The scale is that of the captions: the blue and the red end of ColorBrewer's RdBu, which the colour-blind tell apart,
symmetric about 0, and no colour at 0. The picture is laid under it in light grey: nothing in it can be mistaken for the
map, and it can still be recognised where the map is strongest.

Axes: T maps, H rows, W columns, C colour channels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from causal_attrib.views import drawing

if TYPE_CHECKING:
    from causal_attrib.results.maps import Maps

# How much of the picture the strongest colour covers.
STRONGEST = 0.7
# The grey picture is squeezed into [128, 255], so that dark colours show on its darkest parts.
_DARKEST = 128

LEGEND = "blue: speaks for the word; red: speaks against it; no colour: no effect"


def full_colour(values: np.ndarray) -> float:
    """The magnitude that gets the full colour: the largest of all maps of a caption, so that maps can be compared."""
    return float(np.abs(values).max(initial=0.0)) or 1.0


def tint(map_HW: np.ndarray, limit: float) -> np.ndarray:
    """The colour of a map: uint8 (H, W, RGBA), opaque to `STRONGEST` where the magnitude is `limit` or more.

    >>> tint(np.array([[0.5, 0.0, -1.0]]), limit=1.0).tolist()
    [[[33, 102, 172, 89], [178, 24, 43, 0], [178, 24, 43, 178]]]
    """
    colour_HWC = np.where((map_HW > 0)[..., None], drawing.BLUE, drawing.RED)
    strength_HW1 = STRONGEST * np.clip(np.abs(map_HW) / limit, 0, 1)[..., None]
    return np.concatenate([colour_HWC, np.rint(255 * strength_HW1)], axis=-1).astype(np.uint8)


def backdrop(picture: Image.Image) -> Image.Image:
    """The picture in light grey, as an RGB image."""
    return picture.convert("L").point(lambda grey: _DARKEST + grey * (255 - _DARKEST) / 255).convert("RGB")


def overlay(picture: Image.Image, maps: Maps, limit: float | None = None) -> list[Image.Image]:
    """One RGB image per map, of the picture's size; all on one scale: `limit`, or the largest magnitude of all."""
    limit = full_colour(maps.values_THW) if limit is None else limit
    under = backdrop(picture).convert("RGBA")
    tints = (Image.fromarray(tint(map_HW, limit)) for map_HW in maps.at_size(*picture.size))
    return [Image.alpha_composite(under, tinted).convert("RGB") for tinted in tints]


def described(maps: Maps) -> str:
    """What the maps are: the method, what it explains, and on which grid."""
    of = {"logprob": "log-probability of the word", "answer": "log-probability of the answer"}
    target = of.get(maps.target, f"log-probability, set against “{drawing.visible(maps.foil or '')}”")
    _, height, width = maps.values_THW.shape
    return f"{maps.method.replace('_', ' ')}, {target}, {height} × {width}"

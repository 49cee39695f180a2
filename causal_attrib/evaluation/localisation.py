"""Where a map points, held against a mask of the object that the word names.

Axes: H rows, W columns of the picture.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np
from PIL import Image

from causal_attrib.errors import InputError
from causal_attrib.io.parsing import PICTURE_ERRORS


@dataclass(frozen=True)
class Localisation:
    """How well a map finds an object.

    hit:   whether the map's highest value lies on it (pointing game, Zhang et al. 2016, arXiv 1608.00507)
    mass:  share of the map's positive values on it, in [0, 1] (relevance mass accuracy, Arras et al. 2022,
           arXiv 2003.07258); None where the map has no positive value
    area:  share of the picture that the object takes, in (0, 1): the mass of a map without any preference
    """

    hit: bool
    mass: float | None
    area: float

    @property
    def mass_above_area(self) -> float | None:
        """Mass beyond what a map without any preference has, in (-1, 1)."""
        return None if self.mass is None else self.mass - self.area


def localise(map_HW: np.ndarray, mask_HW: np.ndarray) -> Localisation:
    """Hold a map of the picture's size against a mask, True on the object.

    Of several highest values the share that lies on the object is taken, and more than half is a hit.

    >>> found = localise(np.array([[0.0, 3.0], [1.0, -2.0]]), np.array([[False, True], [False, False]]))
    >>> found
    Localisation(hit=True, mass=0.75, area=0.25)
    >>> found.mass_above_area
    0.5
    """
    highest_HW = map_HW == map_HW.max()
    positive_HW = np.maximum(map_HW, 0.0)
    total = positive_HW.sum()
    return Localisation(
        hit=bool(mask_HW[highest_HW].mean() > 0.5),
        mass=float(positive_HW[mask_HW].sum() / total) if total > 0 else None,
        area=float(mask_HW.mean()),
    )


def read_mask(path: str | os.PathLike, width: int, height: int) -> np.ndarray:
    """A mask (height, width) from a picture: True where it is lighter than half, or opaque where it has transparency.

    Raises:
        InputError: it cannot be read, has another size than the picture, or shows nothing or everything.
    """
    try:
        with Image.open(path) as image:
            has_alpha = "A" in image.getbands()
            mask_HW = np.asarray(image.getchannel("A") if has_alpha else image.convert("L")) >= 128
    except FileNotFoundError:
        raise InputError(f"There is no mask {path}; check the path.") from None
    except PICTURE_ERRORS:
        raise InputError(f"{path} cannot be read as an image; give the mask as a PNG.") from None
    if mask_HW.shape != (height, width):
        raise InputError(
            f"The mask {path} is {mask_HW.shape[1]} x {mask_HW.shape[0]} pixels and the image {width} x {height}; "
            "make them the same size."
        )
    if mask_HW.all() or not mask_HW.any():
        raise InputError(f"The mask {path} has one value everywhere; make the object white and the rest black.")
    return mask_HW

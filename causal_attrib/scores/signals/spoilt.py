"""Pictures spoilt on purpose, which a caption is held against.

colour   one colour, which the processor maps to zero
blur     the picture itself blurred, until no object is left but the light of the place is
patches  patches of 14 x 14 pixels blackened, each with probability 1/2 (VPPO, arXiv 2510.09285, released code);
         `DRAWS` of them
other    another picture
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from causal_attrib.errors import InputError
from causal_attrib.vlm.reference_image import reference_image

REFERENCES = ("colour", "blur", "patches", "other")
PATCH, SHARE, DRAWS = 14, 0.5, 3


def spoilt_pictures(
    reference: str,
    picture: Image.Image,
    *,
    colour: tuple[int, int, int],
    seed: int = 0,
    other: Image.Image | None = None,
) -> list[Image.Image]:
    """What `picture` is held against: one picture, or one for each draw.

    Args:
        reference: one of `REFERENCES`.
        colour: what "colour" is.
        seed: of "patches".
        other: what "other" is; it is brought to the size of `picture`.

    Raises:
        InputError: there is no such reference, or no other picture was given.
    """
    if reference not in REFERENCES:
        raise InputError(f"There is no reference {reference!r}; choose one of {', '.join(REFERENCES)}.")
    if reference == "patches":
        rng = np.random.default_rng([seed, 14])
        return [blackened(picture, rng) for _ in range(DRAWS)]
    if reference == "other":
        if other is None:
            raise InputError("The reference is another picture, and none was given; give one, or take colour or blur.")
        return [other.convert("RGB").resize(picture.size, Image.Resampling.BICUBIC)]
    return [reference_image(reference, picture, colour)]


def blackened(picture: Image.Image, rng: np.random.Generator, size: int = PATCH, share: float = SHARE) -> Image.Image:
    """The picture with each of its patches black with probability `share`; those at the edges may be smaller.

    >>> white = Image.new("RGB", (28, 28), "white")
    >>> pixels = np.asarray(blackened(white, np.random.default_rng(0), share=1.0))
    >>> int(pixels.max())
    0
    """
    rows, columns = -(-picture.height // size), -(-picture.width // size)
    black_RC = rng.random((rows, columns)) < share
    black_HW = black_RC.repeat(size, 0).repeat(size, 1)[: picture.height, : picture.width]
    pixels = np.array(picture.convert("RGB"))
    pixels[black_HW] = 0
    return Image.fromarray(pixels)

"""The reference image: what a picture is compared with, a picture of its size that does not show what it shows."""

from __future__ import annotations

from PIL import Image, ImageFilter

from causal_attrib.choices import check_reference

# The blur's standard deviation, as a share of the longer side.
BLUR = 0.15


def one_colour(picture: Image.Image, colour: tuple[int, int, int]) -> Image.Image:
    """A picture of the same size that shows nothing: one colour all over."""
    return Image.new("RGB", picture.size, colour)


def blurred(picture: Image.Image) -> Image.Image:
    """The picture until no object is left in it, but light and colours of the place are."""
    return picture.filter(ImageFilter.GaussianBlur(BLUR * max(picture.size)))


def reference_image(against: str, picture: Image.Image, colour: tuple[int, int, int]) -> Image.Image:
    """What `picture` is compared with: a picture of its size that does not show what it shows.

    Args:
        against: one of `choices.REFERENCES`.
        colour: the model's neutral one.

    Raises:
        InputError: there is no such contrast.
    """
    check_reference(against)
    return blurred(picture) if against == "blur" else one_colour(picture, colour)

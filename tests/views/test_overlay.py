"""Maps over pictures: one scale, no colour at zero, and a picture that can be recognised."""

import numpy as np
import pytest
from PIL import Image

from causal_attrib.views import drawing, overlay


def by_hand(grey: int, value: float, limit: float) -> list[int]:
    """One pixel: the picture's grey squeezed into [128, 255], and 0.7 of the colour laid over it at full strength."""
    under = 128 + grey * 127 / 255
    share = 0.7 * min(1.0, abs(value) / limit)
    colour = drawing.BLUE if value > 0 else drawing.RED
    return [share * part + (1 - share) * under for part in colour]


def test_every_pixel_is_what_the_docstring_says(scene):
    _, maps = scene
    picture = Image.fromarray(np.arange(0, 256, 4, dtype=np.uint8).repeat(64).reshape(64, 64)).convert("RGB")
    shown = np.asarray(overlay.overlay(picture, maps)[1], dtype=float)
    grey = np.asarray(picture.convert("L"))
    for row, column, value in ((0, 0, 2.0), (15, 15, 2.0), (60, 60, -0.5), (30, 30, 0.0)):
        assert shown[row, column] == pytest.approx(by_hand(int(grey[row, column]), value, 2.0), abs=2)


def test_all_maps_of_a_caption_share_a_scale(scene):
    _, maps = scene
    _, dog, _, ball, _ = (np.asarray(image)[..., :3] for image in overlay.overlay(Image.new("RGB", (4, 4)), maps))
    assert dog[0, 0, 2] > dog[0, 0, 0]  # blue
    assert (128 - ball[3, 3, 0]) == pytest.approx((128 - dog[0, 0, 0]) / 2, abs=2)  # half as strong: 1 of 2


def test_blue_and_red_are_told_apart_by_the_colour_blind():
    """Machado, Oliveira, Fernandes (IEEE TVCG 2009): the linear RGB that a dichromat sees, severity 1.0.

    The three matrices, from above: protanopia, deuteranopia, tritanopia.
    """
    simulations = (
        ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
        ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
        ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
    )
    ends = np.array([drawing.BLUE, drawing.RED]) / 255
    linear = np.where(ends <= 0.04045, ends / 12.92, ((ends + 0.055) / 1.055) ** 2.4)
    for matrix in simulations:
        seen = np.clip(linear @ np.array(matrix).T, 0, 1)
        seen = np.where(seen <= 0.0031308, 12.92 * seen, 1.055 * seen ** (1 / 2.4) - 0.055)
        assert np.linalg.norm(seen[0] - seen[1]) > 0.35


def test_no_effect_has_no_colour_and_an_empty_map_divides_by_nothing():
    assert overlay.full_colour(np.zeros((1, 2, 2))) == 1.0
    assert overlay.tint(np.zeros((2, 2)), 1.0)[..., 3].max() == 0

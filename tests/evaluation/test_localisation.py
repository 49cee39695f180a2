"""Pointing and mass of maps whose answer is plain to see, and masks that cannot be used."""

import numpy as np
import pytest
from PIL import Image

from causal_attrib.errors import InputError
from causal_attrib.evaluation.localisation import localise, read_mask

LEFT = np.array([[True, False], [True, False]])


def test_a_map_on_the_object():
    found = localise(np.array([[1.0, 0.0], [3.0, -5.0]]), LEFT)
    assert (found.hit, found.mass, found.area, found.mass_above_area) == (True, 1.0, 0.5, 0.5)


def test_a_map_beside_it():
    found = localise(np.array([[1.0, 3.0], [0.0, 0.0]]), LEFT)
    assert (found.hit, found.mass, found.mass_above_area) == (False, 0.25, -0.25)


def test_a_map_without_preference_has_the_mass_of_the_area():
    found = localise(np.ones((2, 2)), LEFT)
    assert found.mass == found.area and found.mass_above_area == 0 and not found.hit


def test_a_map_without_positive_values_has_no_mass():
    found = localise(-np.ones((2, 2)), LEFT)
    assert found.mass is None and found.mass_above_area is None


@pytest.mark.parametrize("mode", ["L", "RGBA", "1"])
def test_masks_of_all_kinds_are_read(tmp_path, mode):
    grey = Image.fromarray(np.where(LEFT, 255, 0).astype(np.uint8))
    if mode == "RGBA":
        image = Image.new("RGBA", (2, 2), (7, 7, 7, 0))
        image.putalpha(grey)
    else:
        image = grey.convert(mode)
    image.save(tmp_path / "mask.png")
    assert (read_mask(tmp_path / "mask.png", 2, 2) == LEFT).all()


def test_masks_that_cannot_be_used(tmp_path):
    path = tmp_path / "mask.png"
    with pytest.raises(InputError, match="There is no mask"):
        read_mask(path, 2, 2)
    path.write_text("no image")
    with pytest.raises(InputError, match="cannot be read as an image"):
        read_mask(path, 2, 2)
    Image.fromarray(np.zeros((2, 2), dtype=np.uint8)).save(path)
    with pytest.raises(InputError, match="one value everywhere"):
        read_mask(path, 2, 2)
    with pytest.raises(InputError, match="2 x 2 pixels and the image 4 x 3"):
        read_mask(path, 4, 3)

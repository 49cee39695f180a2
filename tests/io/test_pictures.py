"""Every kind of picture file is read upright and in colour, or refused in one sentence."""

import numpy as np
import pytest
from PIL import Image

from causal_attrib.errors import InputError
from causal_attrib.io.pictures import at_least_smallest, read_picture
from causal_attrib.vlm.reference_image import blurred, reference_image

RED, BLUE = (255, 0, 0), (0, 0, 255)


def halves(width=8, height=4):
    """Left half red, right half blue."""
    image = Image.new("RGB", (width, height), RED)
    image.paste(BLUE, (width // 2, 0, width, height))
    return image


def test_colour_modes_become_rgb(tmp_path):
    for mode, suffix in (("L", "png"), ("CMYK", "tif"), ("P", "png"), ("1", "png"), ("LA", "png"), ("RGBA", "png")):
        path = tmp_path / f"{mode}.{suffix}"
        halves().convert(mode).save(path)
        assert read_picture(path).pixels.mode == "RGB", mode


def test_cmyk_keeps_its_colours(tmp_path):
    halves().convert("CMYK").save(tmp_path / "a.jpg", quality=100)
    left = read_picture(tmp_path / "a.jpg").pixels.getpixel((1, 1))
    assert left[0] > 200 and left[1] < 60 and left[2] < 60


def test_transparent_pixels_are_white(tmp_path):
    image = halves().convert("RGBA")
    image.putpixel((0, 0), (0, 0, 0, 0))
    image.save(tmp_path / "a.png")
    assert read_picture(tmp_path / "a.png").pixels.getpixel((0, 0)) == (255, 255, 255)
    assert read_picture(tmp_path / "a.png").pixels.getpixel((7, 0)) == BLUE


def test_a_blurred_picture_keeps_light_and_colours_and_loses_objects():
    """An object of a fifth of the side, red on blue: its red is spread out, not lost."""
    shown = Image.new("RGB", (100, 60), BLUE)
    shown.paste(RED, (40, 20, 60, 40))
    seen, left = (np.asarray(picture, dtype=float) for picture in (shown, blurred(shown)))
    assert left.shape == seen.shape
    assert left.mean((0, 1)) == pytest.approx(seen.mean((0, 1)), abs=4)
    assert np.ptp(left[..., 0]) < 0.25 * np.ptp(seen[..., 0])


def test_what_a_picture_is_held_against():
    assert reference_image("colour", halves(), (1, 2, 3)).getcolors() == [(32, (1, 2, 3))]
    assert reference_image("blur", halves(), (1, 2, 3)).tobytes() == blurred(halves()).tobytes()
    with pytest.raises(InputError, match="cannot be held against 'noise'; choose one of colour, blur"):
        reference_image("noise", halves(), (1, 2, 3))


def test_sixteen_bit_grey_is_scaled(tmp_path):
    Image.fromarray(np.array([[0, 32768, 65535]], dtype=np.uint16)).save(tmp_path / "a.png")
    assert [read_picture(tmp_path / "a.png").pixels.getpixel((x, 0))[0] for x in range(3)] == [0, 128, 255]


def test_exif_rotation_is_applied(tmp_path):
    image = halves()
    exif = image.getexif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise: what is left comes up
    image.save(tmp_path / "a.png", exif=exif)
    upright = read_picture(tmp_path / "a.png").pixels
    assert upright.size == (4, 8)
    assert upright.getpixel((0, 0)) == RED and upright.getpixel((0, 7)) == BLUE


def test_of_an_animation_the_first_frame_is_used(tmp_path):
    Image.new("RGB", (4, 4), RED).save(
        tmp_path / "a.gif", save_all=True, append_images=[Image.new("RGB", (4, 4), BLUE)], duration=50
    )
    with pytest.warns(UserWarning, match="animated"):
        assert read_picture(tmp_path / "a.gif").pixels.getpixel((1, 1)) == RED


def test_small_pictures_are_enlarged_without_new_colours():
    image = Image.new("RGB", (1, 3), RED)
    assert at_least_smallest(image).size == (32, 32)
    assert at_least_smallest(image).getcolors() == [(32 * 32, RED)]
    large = halves(64, 32)
    assert at_least_smallest(large) is large


def test_arrays_and_images_are_taken_as_they_are():
    array = np.asarray(halves())
    assert read_picture(array).sha256 == read_picture(halves()).sha256
    assert read_picture(array).record == {"path": None, "sha256": read_picture(array).sha256, "width": 8, "height": 4}


def test_refusals(tmp_path):
    (tmp_path / "text.jpg").write_text("not a picture")
    halves(200, 200).save(tmp_path / "whole.png")
    data = (tmp_path / "whole.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(data[: len(data) // 2])
    Image.new("1", (20_000, 20_000)).save(tmp_path / "bomb.png")
    for name, said in {
        "none.png": "There is no file",
        "": "is a folder",
        "text.jpg": "not an image",
        "cut.png": "cut short",
        "bomb.png": "too many pixels",
    }.items():
        with pytest.raises(InputError, match=said) as refusal:
            read_picture(tmp_path / name)
        assert "\n" not in str(refusal.value)
    with pytest.raises(InputError, match="uint8"):
        read_picture(np.zeros((4, 4, 3)))

"""Every picture, in whatever form it comes and whatever it is for, is the same pixels, or refused in one sentence.

The table is source x mode x use: what each mode looks like is worked out by hand.
"""

import base64
import io
import os
import struct
import warnings
import zlib

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import causal_attrib
from causal_attrib.errors import InputError
from causal_attrib.io.pictures import (
    MAX_PIXELS,
    at_least_smallest,
    at_most,
    check_picture,
    picture_size,
    read_picture,
)
from causal_attrib.training.scoring.rollout import Rollout, encode_prompt
from causal_attrib.views.picture import scored_picture
from causal_attrib.vlm.reference_image import blurred, reference_image
from tests.fuzz import fuzz

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


# -- source x mode x use ----------------------------------------------------------------------------------------------


def two(mode, left, right):
    """64 x 48 pixels, the left half of one value and the right half of another."""
    image = Image.new(mode, (64, 48), left)
    image.paste(right, (32, 0, 64, 48))
    return image


def palette():
    """Index 0 is a dark blue, index 1 is transparent."""
    image = two("P", 0, 1)
    image.putpalette([10, 20, 30, 200, 100, 50])
    return image


def of_values(dtype, left, right):
    values = np.full((48, 64), left, dtype)
    values[:, 32:] = right
    return Image.fromarray(values)


# For each mode the picture, the file it is kept in with what is saved besides, and the colours of its halves as a model
# must see them:
#   LA, P: what is transparent is white
#   RGBA:  a fifth of (100, 50, 0) on four fifths of white is (20 + 204, 10 + 204, 204)
#   CMYK:  (0, 255, 255, 0) is all yellow and magenta, so red; all key is black
#   I;16:  32896 = 128 * 257 and 65535 = 255 * 257
#   I:     15420 = 60 * 257 and 46260 = 180 * 257; more than 255, so of 65535
#   F:     51 / 255 = 0.2 and 204 / 255 = 0.8
MODES = {
    "1": (two("1", 0, 1), "PNG", {}, (0, 0, 0), (255, 255, 255)),
    "L": (two("L", 40, 200), "PNG", {}, (40, 40, 40), (200, 200, 200)),
    "LA": (two("LA", (40, 255), (200, 0)), "PNG", {}, (40, 40, 40), (255, 255, 255)),
    "P": (palette(), "PNG", {"transparency": 1}, (10, 20, 30), (255, 255, 255)),
    "RGB": (two("RGB", (200, 10, 30), (0, 90, 250)), "PNG", {}, (200, 10, 30), (0, 90, 250)),
    "RGBA": (two("RGBA", (100, 50, 0, 51), (10, 20, 30, 255)), "PNG", {}, (224, 214, 204), (10, 20, 30)),
    "CMYK": (two("CMYK", (0, 255, 255, 0), (0, 0, 0, 255)), "TIFF", {}, (255, 0, 0), (0, 0, 0)),
    "I;16": (of_values(np.uint16, 32896, 65535), "PNG", {}, (128, 128, 128), (255, 255, 255)),
    "I": (of_values(np.int32, 15420, 46260), "TIFF", {}, (60, 60, 60), (180, 180, 180)),
    "F": (of_values(np.float32, 0.2, 0.8), "TIFF", {}, (51, 51, 51), (204, 204, 204)),
}
# An array says no more than its values: not which colours a palette has, nor that four channels are inks.
AS_ARRAYS = ("1", "L", "RGB", "RGBA", "I;16", "I", "F")


def expected(left, right):
    pixels = np.empty((48, 64, 3), np.uint8)
    pixels[:, :32], pixels[:, 32:] = left, right
    return pixels


def channels_first(array):
    return torch.from_numpy(np.moveaxis(array, -1, 0).copy() if array.ndim == 3 else array.copy())


SOURCES = {
    "path": lambda image, path: path,
    "text of a path": lambda image, path: str(path),
    "PIL": lambda image, path: Image.open(path),
    "bytes": lambda image, path: path.read_bytes(),
    "BytesIO": lambda image, path: io.BytesIO(path.read_bytes()),
    "open file": lambda image, path: path.open("rb"),
    "dictionary with bytes": lambda image, path: {"bytes": path.read_bytes(), "path": "not there.png"},
    "dictionary with path": lambda image, path: {"bytes": None, "path": str(path)},
    "data URI": lambda image, path: "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode(),
    "array": lambda image, path: np.asarray(image),
    "tensor": lambda image, path: channels_first(np.asarray(image)),
}
TABLE = [
    (source, mode) for source in SOURCES for mode in MODES if source not in ("array", "tensor") or mode in AS_ARRAYS
]


@pytest.mark.parametrize(("source", "mode"), TABLE)
def test_a_picture_is_the_same_pixels_for_every_use(bundled, tmp_path, source, mode):
    image, format, saved, left, right = MODES[mode]
    path = tmp_path / f"picture.{format.lower()}"
    image.save(path, format, **saved)
    right_pixels = expected(left, right)
    given = SOURCES[source](image, path)

    # To score, and to ask a model in an evaluation.
    encoding = bundled.encode(given, None, "a dog")
    assert np.array_equal(np.asarray(encoding.picture.pixels), right_pixels)
    wanted = bundled.prompt_inputs(
        bundled.family.converse("Describe this image.").before, Image.fromarray(right_pixels)
    )
    for inputs in (encoding.prompt_inputs, bundled.ask(given)):
        assert torch.equal(inputs["pixel_values"], wanted["pixel_values"])
    # Its record: the path of a file, and the same picture is known again however it was given.
    assert encoding.picture.path == (str(path) if "path" in source else None)
    # A report shows the scored pixels.
    assert np.array_equal(np.asarray(scored_picture(encoding.picture.record, given)), right_pixels)
    # To train: what the policy is shown, and what its completions are scored on.
    datasets = pytest.importorskip("datasets", reason="datasets is not installed (extra `train`)")
    from causal_attrib.training.data.reading import to_dataset

    table = to_dataset([{"image": given, "prompt": "x"}, {"image": None, "prompt": "y"}])
    # As it is after a trainer went over the rows.
    for rows in (table, table.map(lambda row: {"prompt": row["prompt"] * 2}), table.select([0])):
        assert isinstance(rows.features["image"], datasets.Image)
        assert np.array_equal(np.asarray(rows[0]["image"]), right_pixels)
    rollout = Rollout(given, [{"role": "user", "content": "What is it?"}], ())
    assert torch.equal(encode_prompt(bundled, rollout).prompt_inputs["pixel_values"], wanted["pixel_values"])


@pytest.mark.parametrize("mode", MODES)
def test_a_map_is_of_the_pixels_that_are_scored(bundled, tmp_path, mode):
    image, format, saved, left, right = MODES[mode]
    path = tmp_path / f"picture.{format.lower()}"
    image.save(path, format, **saved)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the bundled model knows drawn scenes only
        maps, wanted = (
            causal_attrib.saliency(given, "a dog", model=bundled, method="gradient")
            for given in (path, expected(left, right))
        )
    assert np.array_equal(maps.values_THW, wanted.values_THW)


def test_means_by_hand(tmp_path):
    """The mean of each picture is that of its two halves."""
    for image, format, saved, left, right in MODES.values():
        image.save(tmp_path / "picture", format, **saved)
        pixels = np.asarray(read_picture(tmp_path / "picture").pixels)
        assert pixels.mean((0, 1)).tolist() == [(a + b) / 2 for a, b in zip(left, right, strict=True)]


@pytest.mark.parametrize("use", ["score", "train"])
def test_a_turned_photograph_is_upright_for_every_use(tmp_path, bundled, use):
    exif = Image.Exif()
    exif[0x0112] = 6  # EXIF 2.32: the right side of the file is the top of the picture
    path = tmp_path / "turned.png"
    two("RGB", RED, BLUE).save(path, exif=exif)
    if use == "score":
        upright = bundled.encode(path, None, "a dog").picture.shown
    else:
        pytest.importorskip("datasets", reason="datasets is not installed (extra `train`)")
        from causal_attrib.training.data.reading import to_dataset

        upright = to_dataset([{"image": str(path)}])[0]["image"]
    assert upright.size == (48, 64) == picture_size(path)
    assert upright.getpixel((0, 0)) == RED and upright.getpixel((0, 63)) == BLUE


def test_a_small_picture_is_enlarged_to_train_as_it_is_to_score(tmp_path, bundled):
    pytest.importorskip("datasets", reason="datasets is not installed (extra `train`)")
    from causal_attrib.training.data.reading import to_dataset

    path = tmp_path / "small.png"
    halves(8, 4).save(path)
    trained = to_dataset([{"image": str(path)}])[0]["image"]
    assert trained.size == (32, 32) and sorted(trained.getcolors()) == sorted([(512, RED), (512, BLUE)])
    scored = bundled.encode(path, "What is it?", "a dog").prompt_inputs
    for image in (path, trained):
        rollout = Rollout(image, [{"role": "user", "content": "What is it?"}], ())
        assert torch.equal(encode_prompt(bundled, rollout).prompt_inputs["pixel_values"], scored["pixel_values"])


def test_a_photograph_in_a_table_is_not_compressed_again(tmp_path):
    """As JPEG of quality 75, which a data set would store PIL images in, it has other pixels."""
    pytest.importorskip("datasets", reason="datasets is not installed (extra `train`)")
    import pandas as pd

    from causal_attrib.training.data.reading import read_data, to_dataset

    sink = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    Image.fromarray(noise).save(sink, "JPEG", quality=98)
    pd.DataFrame([{"image": {"bytes": sink.getvalue(), "path": "a.jpg"}, "prompt": "x"}]).to_parquet(
        tmp_path / "a.parquet"
    )
    (row,) = read_data(tmp_path / "a.parquet")
    pixels = np.asarray(to_dataset([row])[0]["image"])
    assert np.array_equal(pixels, np.asarray(Image.open(sink)))
    assert np.array_equal(pixels, np.asarray(read_picture(row["image"]).pixels))


# -- values to greys --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "greys"),
    [
        (np.array([[0, 255]], np.int64), [0, 255]),  # as lists of Python's numbers become
        (np.array([[0, 100]], np.int16), [0, 100]),
        (np.array([[0, 257, 65535]], np.int32), [0, 1, 255]),
        (np.array([[0, 257, 65535]], ">u2"), [0, 1, 255]),
        (np.array([[0, 255]], np.uint16), [0, 1]),  # dark, but 16 bits all the same: 255 / 257
        (np.array([[0, 2**32 - 1]], np.uint32), [0, 255]),
        (np.array([[0, 2**31 - 1]], np.int32), [0, 255]),
        (np.array([[0.0, 0.5, 1.0]]), [0, 128, 255]),  # 127.5 to the even one
        (np.array([[0.0, 0.5, 1.0]], np.float16), [0, 128, 255]),
        (np.array([[0.0, 99.6, 254.0]]), [0, 100, 254]),
        (np.array([[0.0, 65535.0]], np.float32), [0, 255]),
        (np.zeros((1, 2)), [0, 0]),
    ],
)
def test_the_range_of_values(values, greys):
    for array in (values, values[..., None], np.repeat(values[..., None], 3, 2)):
        assert np.asarray(read_picture(array).pixels)[0].tolist() == [[grey] * 3 for grey in greys]


@pytest.mark.parametrize("value", [-1, np.nan, np.inf, 1.02, 300.0, 70_000.0, -0.1])
def test_values_that_are_no_greys_or_of_a_range_in_doubt(value):
    with pytest.raises(InputError, match="The image array has"):
        read_picture(np.array([[0, value]]))
    with pytest.raises(InputError, match="The PIL image has"):
        read_picture(Image.fromarray(np.array([[0, value]], np.float32)))


def test_whole_numbers_of_a_range_in_doubt():
    with pytest.raises(InputError, match="up to 300, a little more than 255, so that their range is in doubt"):
        read_picture(np.array([[0, 300]]))


@pytest.mark.parametrize("tensor", [torch.full((3, 6, 5), 7 / 255), torch.full((6, 5, 3), 7 / 255).bfloat16()])
def test_a_tensor_of_channels_first_or_last(tensor):
    pixels = read_picture(tensor.requires_grad_()).pixels
    assert pixels.size == (5, 6) and pixels.getcolors() == [(30, (7, 7, 7))]


def test_a_tensor_with_channels_on_both_sides_has_them_first():
    tensor = torch.zeros(3, 2, 4, dtype=torch.uint8)
    tensor[0] = 9
    assert read_picture(tensor).pixels.getcolors() == [(8, (9, 0, 0))]


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width, height, bits, colour, row, *more):
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    chunks = [(b"IHDR", header), *more, (b"IDAT", zlib.compress(row)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*each) for each in chunks)


def test_one_colour_of_16_bits_that_stands_for_transparency():
    """PNG, 11.3.2.1: the pixels of exactly this value are transparent."""
    grey = png(3, 1, 16, 0, b"\0" + struct.pack(">3H", 771, 5140, 0), (b"tRNS", struct.pack(">H", 5140)))
    assert np.asarray(read_picture(grey).pixels)[0, :, 0].tolist() == [3, 255, 0]
    clear = (b"tRNS", struct.pack(">3H", 1000, 2000, 3000))
    colour = png(2, 1, 16, 2, b"\0" + struct.pack(">6H", 1000, 2000, 3000, 65535, 0, 0), clear)
    assert np.asarray(read_picture(colour).pixels)[0].tolist() == [[255, 255, 255], [255, 0, 0]]


# -- sources ----------------------------------------------------------------------------------------------------------


def test_a_picture_is_known_by_the_bytes_of_its_file_or_by_its_pixels(tmp_path):
    array = np.asarray(halves())
    assert read_picture(array).sha256 == read_picture(halves()).sha256
    assert read_picture(array).record == {"path": None, "sha256": read_picture(array).sha256, "width": 8, "height": 4}
    path = tmp_path / "a.png"
    halves().save(path)
    data = path.read_bytes()
    of_file = read_picture(path)
    for source in (data, bytearray(data), memoryview(data), io.BytesIO(data), {"bytes": data, "path": None}):
        assert (read_picture(source).sha256, read_picture(source).path) == (of_file.sha256, None)


def test_a_file_that_was_read_before_is_read_from_its_beginning():
    buffer = io.BytesIO()
    halves().save(buffer, "PNG")
    assert read_picture(buffer).pixels.size == read_picture(buffer).pixels.size == (8, 4)


def test_a_name_in_a_folder_or_in_images_in_it(tmp_path):
    (tmp_path / "images").mkdir()
    halves().save(tmp_path / "images" / "a.png")
    assert read_picture("a.png", tmp_path).path == str(tmp_path / "images" / "a.png")
    halves(6, 6).save(tmp_path / "a.png")
    assert read_picture({"bytes": None, "path": "a.png"}, tmp_path).path == str(tmp_path / "a.png")
    with pytest.raises(InputError, match="There is no file .*b.png"):
        read_picture("b.png", tmp_path)


def test_data_uris():
    sink = io.BytesIO()
    halves().save(sink, "PNG")
    encoded = base64.b64encode(sink.getvalue()).decode()
    lines = "\n".join(encoded[i : i + 20] for i in range(0, len(encoded), 20))
    for uri in (f"data:image/png;base64,{encoded}", f"DATA:;BASE64,{lines}", f"data:,{_percent(sink.getvalue())}"):
        assert read_picture(uri).pixels.getpixel((0, 0)) == RED


def _percent(data):
    return "".join(f"%{byte:02x}" for byte in data)


# -- what is refused --------------------------------------------------------------------------------------------------


def test_a_file_that_cannot_be_read(tmp_path):
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
        "x" * 5000: "cannot be read .File name too long",
    }.items():
        for read in (read_picture, check_picture):
            with pytest.raises(InputError, match=said) as refusal:
                read(tmp_path / name)
            assert "\n" not in str(refusal.value) and len(str(refusal.value)) < 400


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (None, "A picture cannot be null; give a path, a PIL image"),
        (7, "A picture cannot be int"),
        ([1, 2], "A picture cannot be list"),
        ({"url": "x"}, r"needs bytes or a path under these keys \(it has url\)"),
        ({"bytes": None, "path": None}, "needs bytes or a path"),
        ({"bytes": "iVBORw0KGgo=", "path": None}, "needs bytes or a path"),
        ("", "is empty"),
        ("a\nb.png", r"There is no file a\\nb.png"),
        ("a\0b.png", r"a\\x00b.png is no name of a file"),
        ("\ud800.png", r"\\ud800.png is no name of a file"),
        ("https://example.org/a.png", "is an address, and pictures are not fetched"),
        ("s3://bucket/a.png", "is an address"),
        ("data:image/png;base64," + "A" * 5000, "The image given as a data URI is not an image"),
        ("data:image/png;base64,%%%" + "A" * 5000, "is no data URI that can be read"),
        ("data:image/png", "is no whole data URI"),
        (b"", "is not an image"),
        (io.StringIO("x"), "is open as text"),
        (np.zeros((4, 4, 2), np.uint8), "1, 3 or 4 channels, not uint8 of shape .4, 4, 2."),
        (np.zeros((3, 40, 50), np.uint8), "1, 3 or 4 channels"),
        (np.zeros((1, 40, 50, 3), np.uint8), "1, 3 or 4 channels"),
        (np.array([["a"]]), "must hold numbers"),
        (np.zeros((0, 4, 3), np.uint8), "has no pixels"),
        (torch.zeros(2, 3, 40, 50), "An image tensor must"),
        (torch.full((3, 4, 4), -1.0), "The image tensor has negative values"),
        (Image.new("RGB", (0, 4)), "has no pixels"),
    ],
)
def test_what_is_no_picture(source, said):
    with pytest.raises(InputError, match=said) as refusal:
        read_picture(source)
    assert "\n" not in str(refusal.value) and len(str(refusal.value)) < 400


@pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="there are no such devices")
def test_a_device_is_not_read():
    with pytest.raises(InputError, match="is a device"):
        read_picture("/dev/zero")


def test_a_picture_with_too_many_pixels_is_refused_before_it_is_decoded():
    """13,000 x 13,000: what is in it would be found damaged."""
    large = png(13_000, 13_000, 1, 0, b"\0")
    for read in (read_picture, check_picture, picture_size):
        with pytest.raises(InputError, match=rf"too many pixels .13000 x 13000, and {MAX_PIXELS:,} are read at most"):
            read(large)
    with pytest.raises(InputError, match="cut short"):
        read_picture(large, max_pixels=13_000**2)


def test_the_limit_can_be_raised_above_that_of_pillow(tmp_path):
    wide = png(16, 16, 1, 0, b"\0\0\0" * 16)
    with at_most(255), pytest.raises(InputError, match="too many pixels .16 x 16, and 255 are"):
        read_picture(wide)
    before = Image.MAX_IMAGE_PIXELS
    try:
        Image.MAX_IMAGE_PIXELS = 100
        assert read_picture(wide, max_pixels=256).pixels.size == (16, 16)
        assert Image.MAX_IMAGE_PIXELS == 100
    finally:
        Image.MAX_IMAGE_PIXELS = before
    with pytest.raises(InputError, match="must be 1 or more"), at_most(0):
        pass


def test_a_line_of_pixels_counts_as_wide_as_it_will_be_shown():
    with pytest.raises(InputError, match="too many pixels"):
        read_picture(np.zeros((1, MAX_PIXELS // 16), bool))


def _whole_files():
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (24, 40, 3), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    for format, options in (("PNG", {"exif": exif}), ("JPEG", {"exif": exif}), ("GIF", {}), ("TIFF", {}), ("WEBP", {})):
        sink = io.BytesIO()
        noise.save(sink, format, **options)
        yield sink.getvalue()
    yield png(4, 1, 16, 0, b"\0" + bytes(8), (b"tRNS", b"\1\2"), (b"iCCP", b"x\0\0" + zlib.compress(b"profile")))


WHOLE = list(_whole_files())


@fuzz
@given(
    whole=st.sampled_from(WHOLE),
    changes=st.lists(
        st.tuples(st.floats(0, 1, exclude_max=True), st.binary(max_size=6), st.integers(0, 6)), max_size=8
    ),
    end=st.floats(0, 1),
)
def test_a_damaged_file_is_a_picture_or_one_sentence(whole, changes, end):
    """Bytes put in, taken out, or put in the place of others, with right checksums too, and an end cut off."""
    data = bytearray(whole)
    for place, put, taken in changes:
        start = int(place * len(data))
        data[start : start + taken] = put
    for broken in (bytes(data[: int(end * len(data))]), bytes(data), _with_right_checksums(bytes(data))):
        with warnings.catch_warnings(), at_most(1_000_000):
            warnings.simplefilter("ignore")
            for read in (read_picture, check_picture, picture_size):
                try:
                    read(broken)
                except InputError as error:
                    assert "\n" not in str(error) and len(str(error)) < 400


def _with_right_checksums(data):
    """A PNG whose chunks that are still whole have the checksum of what is in them."""
    data, place = bytearray(data), 8
    while place + 12 <= len(data):
        (length,) = struct.unpack(">I", data[place : place + 4])
        end = place + 8 + length
        if end + 4 > len(data):
            break
        data[end : end + 4] = struct.pack(">I", zlib.crc32(data[place + 4 : end]))
        place = end + 4
    return bytes(data)

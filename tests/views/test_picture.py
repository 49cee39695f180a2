"""The scored picture is found again, and no other is taken for it."""

import base64
import hashlib
import io

import numpy as np
import pytest
from PIL import Image

from causal_attrib import InputError
from causal_attrib.views.picture import data_uri, scored_picture


def record(data: bytes, path=None):
    return {"path": path and str(path), "sha256": hashlib.sha256(data).hexdigest()}


def bytes_of(pixels, format="PNG", **options):
    sink = io.BytesIO()
    pixels.save(sink, format, **options)
    return sink.getvalue()


def decoded(uri):
    kind, _, data = uri.partition(";base64,")
    return kind, Image.open(io.BytesIO(base64.b64decode(data)))


NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8))


def test_it_is_found_by_path_given_as_path_or_given_as_bytes(tmp_path):
    data = bytes_of(NOISE)
    path = tmp_path / "a.png"
    path.write_bytes(data)
    for found in (
        scored_picture(record(data, path)),
        scored_picture(record(data), path),
        scored_picture(record(data, "moved.png"), data),
    ):
        assert np.array_equal(np.asarray(found), np.asarray(NOISE))


def test_a_picture_that_was_never_a_file_is_known_by_its_pixels():
    assert scored_picture(record(NOISE.tobytes()), bytes_of(NOISE)) is not None


def test_another_picture_is_refused():
    with pytest.raises(InputError, match="is not the one that was scored"):
        scored_picture(record(b"other"), bytes_of(NOISE))
    with pytest.raises(InputError, match="cannot be read"):
        scored_picture(record(b"text"), b"text")
    with pytest.raises(InputError, match="cannot be read"):
        scored_picture(record(b"text"), "nowhere.png")


def test_it_is_upright_and_on_white():
    turned = Image.Exif()
    turned[0x0112] = 6  # EXIF 2.32, table 4: the right side of the file is the top of the picture
    data = bytes_of(NOISE, "PNG", exif=turned)
    assert scored_picture(record(data), data).size == (40, 60)
    clear = bytes_of(Image.new("RGBA", (4, 4), (0, 0, 0, 0)))
    assert scored_picture(record(clear), clear).getpixel((0, 0)) == (255, 255, 255)


def test_a_small_picture_is_inlined_pixel_for_pixel_and_a_large_one_is_made_smaller():
    kind, same = decoded(data_uri(NOISE, 1600))
    assert kind == "data:image/png"
    assert np.array_equal(np.asarray(same), np.asarray(NOISE))
    assert decoded(data_uri(NOISE, 30))[1].size == (30, 20)
    large = Image.fromarray(np.random.default_rng(0).integers(0, 256, (900, 1000, 3), dtype=np.uint8))
    kind, shown = decoded(data_uri(large, 1600))
    assert kind == "data:image/jpeg"
    assert shown.size == (1000, 900)


def test_where_a_photograph_was_taken_does_not_travel_with_it():
    exif = Image.Exif()
    exif[0x010F] = "SECRET-CAMERA"
    data = bytes_of(NOISE, "JPEG", exif=exif)
    assert b"SECRET-CAMERA" in data
    uri = data_uri(scored_picture(record(data), data), 1600)
    assert b"SECRET-CAMERA" not in base64.b64decode(uri.partition(",")[2])

"""Values lie in the picture where they came from, whatever the processor does: resize, crop, pad, tile, flatten."""

import numpy as np
import pytest
import torch

from causal_attrib.errors import InputError
from causal_attrib.scores.saliency_methods.geometry import (
    locate_pixels,
    shares,
    smoothed,
    token_grid,
    tokens_in,
    tokens_to_picture,
)
from causal_attrib.scores.saliency_methods.inputs import EmbeddingInput, PixelInput
from tests.conformance.test_layouts import NO_BOXES
from tests.conftest import PARK
from tests.saliency.common import noise, reader_of
from tests.tiny_models import BUILDERS, tiny

SIZES = [(168, 112), (60, 130), (97, 93)]
SHOWS_LESS = {"llava_clip_llama", "git", "kosmos2"}  # they crop to the middle


# Their processors even out the greys of each picture.
EVENED_OUT = {"pix2struct", "kosmos2_5"}
# The order of their patches is not known: maps of their pixels are refused, those of image tokens are not.
UNKNOWN_ORDER = {
    *("fuyu", "paddleocr_vl", "hunyuan_vl", "video_llama_3", "exaone4_5", "cosmos3_edge", "hyperclovax"),
    *("lfm2_vl", "lfm3_vl", "glm5_next", "dots3_note", "muse_glimmer", "inkling2", "molmo2", "minimax_m3"),
}
# They are given the picture in two tensors; the second where there are tiles.
GIVEN_TWICE, TILES_APART = {"deepseek_vl_hybrid"}, {"step3p7"}


NO_MAPS = EVENED_OUT | UNKNOWN_ORDER | GIVEN_TWICE | TILES_APART


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", [name for name in BUILDERS if name not in NO_MAPS])
def test_a_planted_gradient_lies_where_it_was_planted(name, size):
    """The gradient of "how much of this patch is to be seen" lies on the patch, wherever the processor puts that."""
    vlm = tiny(name)
    picture = noise(size)
    reader = reader_of(vlm, picture)
    given = PixelInput(reader)
    rng = np.random.default_rng(0)
    for _ in range(2):
        # In the middle part, which croppers show too.
        left, top = (int(rng.integers(round(0.34 * side), round(0.5 * side))) for side in size)
        width, height = size[0] // 7, size[1] // 7
        changed = picture.copy()
        changed.paste(noise((width, height), seed=1), (left, top))
        planted = (given.of_picture(changed) - given.value_1X).abs()
        map_HW = given.to_picture(planted, "sum")
        rows, columns = map_HW.shape
        # The processor's filter may smear by two of its own pixels, and by two of the picture's where that is finer.
        y = (np.arange(rows) + 0.5) / rows * size[1]
        x = (np.arange(columns) + 0.5) / columns * size[0]
        smear_y, smear_x = 2.5 * max(1, size[1] / rows), 2.5 * max(1, size[0] / columns)
        inside_HW = ((y > top - smear_y) & (y < top + height + smear_y))[:, None]
        inside_HW = inside_HW & ((x > left - smear_x) & (x < left + width + smear_x))
        coarse = _coarsest(given) if name not in SHOWS_LESS else 1
        assert map_HW[inside_HW].sum() / map_HW.sum() > (0.95 if coarse <= 1.5 else 0.75)
        peak_y, peak_x = np.unravel_index(map_HW.argmax(), map_HW.shape)
        assert inside_HW[peak_y, peak_x]
        centre = np.array([(map_HW.sum(1) * y).sum(), (map_HW.sum(0) * x).sum()]) / map_HW.sum()
        np.testing.assert_allclose(centre, [top + height / 2, left + width / 2], atol=0.04 * max(size))


def _coarsest(given: PixelInput) -> float:
    """How much coarser than the map the coarsest plane is: a view of the whole beside its tiles smears more."""
    rows, columns = given.geometry.shape
    h, w = given.geometry.lay(given.value_1X[0]).shape[-2:]
    boxes = [box for box in given.geometry.boxes if box is not None]
    return max(max((r - le) / w * columns, (b - t) / h * rows) for le, t, r, b in boxes)


@pytest.mark.parametrize("name", ["llava_next", "mllama", "qwen2_vl", "idefics3"])
def test_sums_are_kept(name):
    given = PixelInput(reader_of(tiny(name), noise((120, 90))))
    planted = torch.from_numpy(np.random.default_rng(0).normal(size=tuple(given.value_1X.shape)))
    planes_KChw = given.geometry.lay(planted[0])
    total = 0.0
    for plane_Chw, box in zip(planes_KChw.numpy(), given.geometry.boxes, strict=True):
        if box is not None:
            rows = shares(plane_Chw.shape[1], box[1], box[3], 90).sum(1) > 0
            columns = shares(plane_Chw.shape[2], box[0], box[2], 120).sum(1) > 0
            total += plane_Chw[:, rows][:, :, columns].sum()
    assert given.to_picture(planted, "sum").sum() == pytest.approx(total, abs=1e-3)


def test_a_picture_shown_as_it_is_keeps_its_pixels(bundled):
    given = PixelInput(reader_of(bundled, noise((96, 96))))
    assert given.geometry.boxes == ((0.0, 0.0, 1.0, 1.0),) and given.geometry.shape == (96, 96)
    planted = torch.zeros_like(given.value_1X)
    planted[0, 0, 1, 20, 70] = 1
    map_HW = given.to_picture(planted, "sum")
    assert map_HW[20, 70] == pytest.approx(1) and np.abs(map_HW).sum() == pytest.approx(1)


def test_large_pictures_get_maps_as_fine_as_the_model_sees(bundled, park):
    assert PixelInput(reader_of(bundled, park)).geometry.shape == (96, 96)


@pytest.mark.parametrize("name", sorted(EVENED_OUT))
def test_pixels_that_are_equalised_are_refused(name):
    with pytest.raises(InputError, match="evens out"):
        reader = reader_of(tiny(name))
        locate_pixels(reader.vlm, reader.encoding, reader.pixels)


@pytest.mark.parametrize("name", sorted(UNKNOWN_ORDER))
def test_pixels_in_an_order_that_is_not_known_are_refused(name):
    reader = reader_of(tiny(name), noise(SIZES[0]))
    with pytest.raises(InputError, match="The order in which .* is not known; take level='embedding'"):
        locate_pixels(reader.vlm, reader.encoding, reader.pixels)


@pytest.mark.parametrize(
    ("name", "second"), [("deepseek_vl_hybrid", "high_res_pixel_values"), ("step3p7", "pixel_values_local")]
)
def test_a_picture_that_is_given_twice_is_refused(name, second):
    with pytest.raises(InputError, match=f"more than once .pixel_values, {second}."):
        reader_of(tiny(name), noise(SIZES[0]))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", [name for name in BUILDERS if name not in NO_BOXES])
def test_a_planted_token_lies_in_its_box(name, size):
    vlm = tiny(name)
    layout = vlm.encode(noise(size), "Look.", "a dog").layout
    shape = token_grid(layout)
    boxed = [i for i, box in enumerate(layout.boxes) if box is not None]
    for index in np.random.default_rng(0).choice(boxed, size=5):
        value_N = np.zeros(len(layout.boxes))
        value_N[index] = 2.0
        map_HW = tokens_to_picture(value_N, layout, shape)
        left, top, right, bottom = layout.boxes[index]
        assert map_HW.sum() == pytest.approx(2.0)
        y, x = (np.arange(shape[0]) + 0.5) / shape[0], (np.arange(shape[1]) + 0.5) / shape[1]
        centre = (map_HW.sum(1) @ y / 2, map_HW.sum(0) @ x / 2)
        # A cell that the box touches is at most one cell away from it.
        assert abs(centre[0] - (top + bottom) / 2) <= 0.6 / shape[0]
        assert abs(centre[1] - (left + right) / 2) <= 0.6 / shape[1]
    if layout.grid == shape:
        assert len(tokens_in(layout, np.eye(1, shape[0] * shape[1], dtype=bool).reshape(shape))) == 1
    assert tokens_in(layout, np.ones(shape, dtype=bool)) == boxed


@pytest.mark.parametrize("name", sorted(NO_BOXES))
def test_tokens_without_a_place_are_refused(name):
    with pytest.raises(InputError, match="level='pixel'"):
        EmbeddingInput(reader_of(tiny(name)))


def test_one_grid_is_its_own_map(bundled):
    layout = bundled.encode(PARK, None, "a dog").layout
    assert token_grid(layout) == (8, 8)
    value_N = np.arange(64.0)
    np.testing.assert_allclose(tokens_to_picture(value_N, layout, (8, 8)), value_N.reshape(8, 8))


def test_smoothing_keeps_the_sum():
    map_HW = np.random.default_rng(0).normal(size=(9, 7))
    assert smoothed(map_HW, 0.3).sum() == pytest.approx(map_HW.sum())
    assert smoothed(map_HW, 0.3).std() < 0.5 * map_HW.std()
    assert smoothed(map_HW, 0) is map_HW

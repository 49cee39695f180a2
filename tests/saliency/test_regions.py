"""Pictures are cut, hidden and painted as said; region methods equal loops that can be checked by eye."""

import numpy as np
import pytest
import torch
from PIL import Image

from causal_attrib.choices import BASELINES
from causal_attrib.errors import InputError
from causal_attrib.scores.saliency_methods.baselines import baseline_picture, baseline_value
from causal_attrib.scores.saliency_methods.hiding import HiddenPixels, HiddenTokens, ends
from causal_attrib.scores.saliency_methods.inputs import EmbeddingInput
from causal_attrib.scores.saliency_methods.occlusion import occlusion
from causal_attrib.scores.saliency_methods.regions import Regions, check_hides_tokens, cut, in_picture
from causal_attrib.vlm import Continuation
from causal_attrib.vlm.layout import one_grid, without_boxes
from tests.saliency.common import CAPTION, PROMPT, noise, reader_of
from tests.tiny_models import ONE_OF_EACH_KIND, tiny

LAYOUT = one_grid(range(64), 8, 8)


def test_cells():
    regions = cut("grid:2x3", LAYOUT, (90, 60))
    assert regions.cover_RHW.shape == (6, 2, 3) and not regions.overlap
    np.testing.assert_array_equal(regions.paint(np.arange(6.0)), [[0, 1, 2], [3, 4, 5]])
    hidden = in_picture(regions.union(np.eye(6)[4]), (90, 60))
    assert hidden[30:, 30:60].all() and hidden.sum() == 30 * 30
    assert cut("patch", LAYOUT, (90, 60)).cover_RHW.shape == (64, 8, 8)


def test_windows_lie_around_each_token_and_are_painted_at_their_middle():
    regions = cut("window:3", LAYOUT, (96, 96))
    assert len(regions) == 64 and regions.overlap
    middle = regions.cover_RHW[3 * 8 + 4]
    assert middle[2:5, 3:6].all() and middle.sum() == 9
    corner = regions.cover_RHW[0]
    assert corner[:2, :2].all() and corner.sum() == 4
    np.testing.assert_array_equal(regions.paint(np.arange(64.0)), np.arange(64.0).reshape(8, 8))
    both = cut("window:1+3", LAYOUT, (96, 96))
    np.testing.assert_array_equal(both.cover_RHW[64:], regions.cover_RHW)
    np.testing.assert_array_equal(both.paint(np.repeat([1.0, 3.0], 64)), np.full((8, 8), 2.0))
    assert cut("window:3", one_grid(range(576), 24, 24), (336, 336)).cover_RHW.shape == (144, 12, 12)
    assert cut("window:3", without_boxes(range(32)), (336, 336)).cover_RHW.shape == (64, 8, 8)
    assert cut("window:2", LAYOUT, (96, 96)).cover_RHW[9].sum() == 4


def test_masks_from_files(tmp_path):
    labels = np.zeros((4, 6), dtype=np.int32)
    labels[:2, :3] = 7
    np.save(tmp_path / "labels.npy", labels)
    regions = cut(tmp_path / "labels.npy", LAYOUT, (60, 40))
    np.testing.assert_array_equal(regions.cover_RHW, [labels == 0, labels == 7])
    masks = np.stack([labels == 7, labels >= 0])
    np.save(tmp_path / "masks.npy", masks)
    overlapping = cut(str(tmp_path / "masks.npy"), LAYOUT, (60, 40))
    np.testing.assert_allclose(overlapping.paint(np.array([1.0, 3.0])), np.where(labels == 7, 2, 3))
    Image.fromarray(labels.astype(np.uint8)).save(tmp_path / "labels.png")
    np.testing.assert_array_equal(cut(tmp_path / "labels.png", LAYOUT, (60, 40)).cover_RHW, regions.cover_RHW)
    colours = np.zeros((4, 6, 3), dtype=np.uint8)
    colours[:2, :3] = (255, 0, 0)
    Image.fromarray(colours).save(tmp_path / "colours.png")
    np.testing.assert_array_equal(cut(tmp_path / "colours.png", LAYOUT, (60, 40)).cover_RHW, regions.cover_RHW)
    np.testing.assert_array_equal(cut(labels, LAYOUT, (60, 40)).cover_RHW, regions.cover_RHW)


@pytest.mark.parametrize("spec", ["window:9", "slic:8", "nothing.npy", "text.npy", "floats", "empty"])
def test_bad_regions(tmp_path, spec):
    (tmp_path / "text.npy").write_text("no array")
    arrays = {"floats": np.zeros((2, 2)), "empty": np.zeros((1, 2, 2), dtype=bool)}
    spec = arrays.get(spec, tmp_path / spec if spec.endswith("npy") else spec)
    with pytest.raises(InputError):
        cut(spec, LAYOUT, (96, 96))


@pytest.mark.parametrize(
    "spec, finest",
    [("grid:0", "grid:64"), ("grid:200", "grid:64"), ("grid:9999", "99,980,001"), ("grid:40", r"32 x 50; .* grid:32")],
)
def test_a_grid_that_is_too_fine_is_refused_with_the_finest_there_is(spec, finest):
    with pytest.raises(InputError, match=finest):
        cut(spec, LAYOUT, (32, 50))
    assert len(cut("grid:50x32", LAYOUT, (32, 50))) == 1600
    assert len(cut("grid:64", LAYOUT, (96, 64))) == 4096


def test_regions_that_would_hide_no_image_token_are_refused():
    """A token is hidden with a region that it lies in by more than half. Cells of a grid of 5 are 6/5 of a token of 6
    x 6: the eighth has .8 of a row of tokens and .6 of a column, .48 of the token where both meet."""
    six = one_grid(range(36), 6, 6)
    for spec, place in (("grid:5", "Region 8 of 25"), ("grid:12", "Region 1 of 144"), ("grid:7", "Region")):
        with pytest.raises(InputError, match=rf"{place} .* patch \(grid:6x6\)"):
            check_hides_tokens(cut(spec, six, (96, 96)), spec, six)
    speck = np.zeros((1, 96, 96), dtype=bool)
    speck[0, :4, :4] = True
    with pytest.raises(InputError, match="Region 1 of 1"):
        check_hides_tokens(cut(speck, six, (96, 96)), speck, six)
    for spec in ("grid:6", "grid:3", "grid:2x6", "patch", "window:1+3"):
        check_hides_tokens(cut(spec, six, (96, 96)), spec, six)


def test_patches_need_a_grid():
    with pytest.raises(InputError, match="stand for no particular part"):
        cut("patch", without_boxes(range(8)), (96, 96))


def test_baselines(bundled):
    picture = bundled.encode(noise((40, 30)), None, "a dog").picture
    pixels = np.asarray(picture.pixels).astype(float)
    shown = {
        name: np.asarray(baseline_picture(name, picture, (1, 2, 3), other=noise((7, 9), seed=1))).astype(float)
        for name in BASELINES
    }
    assert all(array.shape == pixels.shape for array in shown.values())
    assert (shown["neutral"] == (1, 2, 3)).all()
    np.testing.assert_allclose(shown["mean"][0, 0], pixels.mean((0, 1)), atol=0.5)
    assert shown["blur"].std() < 0.2 * pixels.std() and abs(shown["blur"].mean() - pixels.mean()) < 3
    expected = noise((7, 9), seed=1).resize((40, 30), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(shown["swap"], np.asarray(expected))
    with pytest.raises(InputError, match="another picture"):
        baseline_picture("swap", picture, (1, 2, 3))
    with pytest.raises(InputError, match="no baseline"):
        baseline_picture("noise", picture, (1, 2, 3))


@pytest.mark.parametrize("name", ONE_OF_EACH_KIND)
def test_occlusion_equals_a_hand_loop(name):
    """Each region painted grey in an array, the whole model called on that picture, the words' log-probs compared."""
    vlm = tiny(name)
    picture, grey = noise((90, 60)), (10, 20, 30)
    reader = reader_of(vlm, picture, words="dog red")
    game = HiddenPixels(reader, cut("grid:2x3", reader.encoding.layout, (90, 60)), Image.new("RGB", (90, 60), grey))

    def read(pixels):
        encoding = vlm.encode(pixels, PROMPT, CAPTION)
        (logits_TV,) = vlm.read(encoding, [Continuation(encoding.response_ids)])
        ids_T = torch.tensor(encoding.response_ids)
        logprob_T = logits_TV[:-1].log_softmax(-1).gather(-1, ids_T[:, None])[:, 0]
        return np.array([logprob_T[list(unit)].sum().item() for unit in reader.target.tokens])

    full_M = read(picture)
    expected = []
    for top in (0, 30):
        for left in (0, 30, 60):
            changed = np.asarray(picture).copy()
            changed[top : top + 30, left : left + 30] = grey
            expected.append(full_M - read(changed))
    np.testing.assert_allclose(occlusion(game), np.array(expected).T, atol=1e-4)
    everything_M, nothing_M = ends(game)
    np.testing.assert_allclose(everything_M, full_M, atol=1e-4)
    np.testing.assert_allclose(nothing_M, read(Image.new("RGB", (90, 60), grey)), atol=1e-4)


def test_hidden_tokens_are_those_of_the_baseline(bundled):
    reader = reader_of(bundled, noise((96, 96)))
    given = EmbeddingInput(reader)
    regions = cut("grid:2", reader.encoding.layout, (96, 96))
    baseline_1ND = baseline_value("swap", given, noise((96, 96), seed=1))
    game = HiddenTokens(given, regions, baseline_1ND)
    seen_R = np.array([True, False, True, True])
    value_1ND = given.value_1X.clone()
    for row in range(4):
        for column in range(4, 8):
            value_1ND[:, row * 8 + column] = baseline_1ND[:, row * 8 + column]
    with torch.no_grad():
        expected_M = given.scores(value_1ND)[0].numpy()
    np.testing.assert_allclose(game.values(seen_R[None])[0], expected_M, atol=1e-5)
    # With nothing to be seen, it is the other picture that is seen.
    encoding = reader_of(bundled, noise((96, 96), seed=1))
    with torch.no_grad():
        other_M = encoding.scores(encoding.pixels(noise((96, 96), seed=1)))[0].numpy()
    np.testing.assert_allclose(ends(game)[1], other_M, atol=1e-4)
    mean_1ND = baseline_value("mean", given, noise())
    torch.testing.assert_close(mean_1ND[0, 5], given.value_1X[0].mean(0))


def test_paint_leaves_what_no_region_covers_at_zero():
    cover_RHW = np.zeros((1, 2, 2), dtype=bool)
    cover_RHW[0, 0, 0] = True
    np.testing.assert_array_equal(Regions(cover_RHW).paint(np.array([3.0])), [[3, 0], [0, 0]])


def test_a_single_mask_hides_no_more_than_itself(bundled):
    mask_RHW = np.zeros((1, 2, 2), dtype=bool)
    mask_RHW[0, 0, 0] = True
    reader = reader_of(bundled, noise((96, 96)))
    grey = Image.new("RGB", (96, 96), (9, 9, 9))
    shown = noise((96, 96))
    shown.paste((9, 9, 9), (0, 0, 48, 48))
    expected_NM = reader.read_many([reader.pixels(noise((96, 96))), reader.pixels(shown)]).numpy()
    effect_MR = occlusion(HiddenPixels(reader, Regions(mask_RHW), grey))
    np.testing.assert_allclose(effect_MR[:, 0], expected_NM[0] - expected_NM[1], atol=1e-4)

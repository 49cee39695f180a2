"""`saliency` puts input, method and result together: every method, on every kind of model, and on what it knows."""

import numpy as np
import pytest
from PIL import Image

from causal_attrib.errors import InputError
from causal_attrib.results.maps import Maps, sign_disagreement
from causal_attrib.scenes import Scene, Sticker, caption, render
from causal_attrib.scores.saliency_methods import LEVELS, METHODS, saliency
from tests.conformance.test_layouts import NO_BOXES
from tests.conftest import PARK, TRUE
from tests.saliency.common import CAPTION, noise
from tests.tiny_models import ONE_OF_EACH_KIND, tiny

QUICK = {"steps": 3, "samples": 2, "regions": "grid:2"}
EACH = [(method, level) for method in METHODS for level in LEVELS[method]]


@pytest.mark.filterwarnings("ignore:Integrated gradients miss")
@pytest.mark.parametrize("method, level", EACH)
@pytest.mark.parametrize("name", ONE_OF_EACH_KIND)
def test_every_method_on_every_kind_of_model(name, method, level):
    vlm = tiny(name)
    call = {"model": vlm, "prompt": "Look.", "words": "dog red", "method": method, "level": level, **QUICK}
    no_weights = method == "attention" and vlm.model.config._attn_implementation != "eager"
    if no_weights or (level == "embedding" and name in NO_BOXES):
        with pytest.raises(InputError, match="occlusion"):
            saliency(noise(), CAPTION, **call)
        return
    maps = saliency(noise(), CAPTION, **call)
    assert [label.strip() for label in maps.labels] == ["dog", "red"]
    assert (maps.method, maps.level, maps.target, maps.foil) == (method, level, "logprob", None)
    assert (np.abs(maps.values_THW).max((1, 2)) > 0).all() and not np.allclose(*maps.values_THW)
    assert maps.model == vlm.record and maps.image["width"] == 80 and maps.caption == CAPTION
    again = saliency(noise(), CAPTION, **call)
    np.testing.assert_array_equal(again.values_THW, maps.values_THW)
    assert again.settings == maps.settings
    assert all(parameter.requires_grad and parameter.grad is None for parameter in vlm.model.parameters())


@pytest.mark.filterwarnings("ignore:Integrated gradients miss")
@pytest.mark.parametrize("method, level", [pair for pair in EACH if pair[0] not in ("attention", "regions")])
def test_one_bright_object_is_found(bundled, method, level):
    """The pointing game: the highest value lies on the only object."""
    scene = Scene("grass", "day", 3, (Sticker("frisbee", "red", x=4, y=4),))
    picture, (mask,) = render(scene)
    maps = saliency(picture, caption(scene), model=bundled, words="frisbee", method=method, level=level)
    map_HW = np.asarray(Image.fromarray(maps.values_THW[0]).resize((96, 96), Image.Resampling.BILINEAR))
    y, x = np.unravel_index(map_HW.argmax(), map_HW.shape)
    assert mask[y, x]


def test_shapley_values_find_it_and_say_how_sure_they_are(bundled):
    maps = saliency(PARK, TRUE, model=bundled, words="dog", method="regions", samples=2, smallest=0.5)
    assert np.unravel_index(maps.values_THW[0].argmax(), (4, 4)) == (2, 1)
    (full,), (empty,) = maps.settings["full"], maps.settings["empty"]
    assert maps.values_THW.sum() == pytest.approx(full - empty, abs=1e-3)
    assert np.shape(maps.settings["standard_error"]) == (1, 16)
    removal, presence = (maps.settings["smallest"][0][kind] for kind in ("removal", "presence"))
    assert removal["value"] <= maps.settings["smallest"][0]["threshold"] <= presence["value"]


def test_a_foil_says_why_this_and_not_that(bundled):
    maps = saliency(PARK, TRUE, model=bundled, words="dog", foil="cat", regions="grid:4")
    assert (maps.target, maps.foil, maps.labels) == ("foil", "cat", (" dog",))
    assert maps.settings["full"][0] > 3, "the dog in the picture speaks for dog and not cat"
    # The dog is 3 of 8 wide from cell (4, 1), so that cell (2, 1) of 4 x 4 lies on it wholly.
    assert np.unravel_index(maps.values_THW[0].argmax(), (4, 4)) == (2, 1)


def test_a_map_of_the_answer(bundled):
    asked = {"question": "Is there a dog in the image?", "answer": "yes", "of": "answer", "regions": "grid:2"}
    maps = saliency(PARK, TRUE, model=bundled, foil="no", **asked)
    assert maps.labels == ("yes",) and maps.tokens == ((),) and maps.target == "foil"
    plain = saliency(PARK, TRUE, model=bundled, **asked)
    assert plain.target == "answer" and plain.settings["full"][0] <= 0


def test_the_model_writes_a_caption_where_none_is_given(bundled):
    maps = saliency(PARK, model=bundled, method="gradient")
    assert maps.caption == TRUE and len(maps) == len(TRUE.split())


def test_baselines_can_be_compared(bundled):
    maps = [
        saliency(PARK, TRUE, model=bundled, words="dog", regions="grid:2", baseline=baseline, other=noise())
        for baseline in ("neutral", "blur", "mean", "swap")
    ]
    assert sign_disagreement(maps).shape == (1, 2, 2)
    assert maps[3].settings["other"]["width"] == 80 and "other" not in maps[0].settings
    assert len({m.values_THW.tobytes() for m in maps}) == 4


def test_batch_size_changes_nothing_and_progress_is_told(bundled):
    rows = []
    call = {"model": bundled, "words": "dog", "regions": "grid:3"}
    one = saliency(PARK, TRUE, batch_size=1, progress=rows.append, **call)
    many = saliency(PARK, TRUE, batch_size=7, **call)
    np.testing.assert_allclose(one.values_THW, many.values_THW, atol=1e-4)
    assert sum(rows) == one.settings["rows"] == many.settings["rows"]


def test_maps_of_real_calls_load_again(bundled, tmp_path):
    maps = saliency(PARK, TRUE, model=bundled, words="dog", regions=np.arange(12).reshape(3, 4))
    maps.save(tmp_path / "maps.safetensors")
    loaded = Maps.load(tmp_path / "maps.safetensors")
    assert loaded.settings == maps.settings and loaded.settings["regions"] == "array (3, 4)"


def test_occlusion_works_where_image_tokens_have_no_place():
    maps = saliency(noise(), CAPTION, model=tiny("blip2_opt"), words="dog", regions="window:3")
    assert maps.values_THW.shape == (1, 8, 8)
    with pytest.raises(InputError, match="grid:8"):
        saliency(noise(), CAPTION, model=tiny("blip2_opt"), words="dog", regions="patch")


@pytest.mark.parametrize(
    "asked, message",
    [
        ({"method": "gradcam"}, "no method"),
        ({"method": "occlusion", "level": "pixel"}, "level of occlusion"),
        ({"baseline": "black"}, "no baseline"),
        ({"baseline": "swap"}, "another picture"),
        ({"method": "gradient", "reduce": "max"}, "no reduction"),
        ({"of": "sentence"}, "kind of map"),
        ({"batch_size": 0}, "batch size"),
        ({"method": "smoothgrad", "samples": 0}, "samples"),
        ({"method": "integrated_gradients", "steps": 0}, "steps"),
        ({"seed": -1}, "seed"),
        ({"noise": float("nan")}, "noise"),
        ({"smooth": 2}, "smooth"),
        ({"method": "regions", "smallest": 1.0}, "share"),
        ({"smallest": 0.5}, "method regions"),
        ({"method": "regions", "regions": "window:3"}, "do not overlap"),
    ],
)
def test_bad_choices(bundled, asked, message):
    with pytest.raises(InputError, match=message):
        saliency(PARK, TRUE, model=bundled, **asked)


def test_integrated_gradients_say_where_steps_are_too_few(bundled):
    with pytest.warns(UserWarning, match="raise the number of steps"):
        maps = saliency(PARK, TRUE, model=bundled, words="dog", method="integrated_gradients", steps=2)
    (full,), (empty,), (missing,) = (maps.settings[name] for name in ("full", "empty", "missing"))
    assert maps.values_THW.sum() == pytest.approx(full - empty + missing, abs=1e-3)

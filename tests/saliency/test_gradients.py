"""Gradients are what finite differences say, and integrated gradients add up to what the picture adds."""

import numpy as np
import pytest
import torch
from PIL import Image

from causal_attrib.scores.saliency_methods.gradient import gradient, gradient_x_input
from causal_attrib.scores.saliency_methods.inputs import EmbeddingInput, PixelInput
from causal_attrib.scores.saliency_methods.integrated_gradients import integrated_gradients
from causal_attrib.scores.saliency_methods.reader import Reader, frozen
from causal_attrib.scores.saliency_methods.smoothgrad import smoothgrad
from causal_attrib.scores.saliency_methods.target import choose_target
from causal_attrib.vlm import Continuation
from tests.conformance.test_layouts import NO_BOXES
from tests.conftest import PARK
from tests.saliency.common import noise, reader_of
from tests.tiny_models import BUILDERS, ONE_OF_EACH_KIND, tiny


def difference(given, direction_1X, m, step):
    """Central difference of function m along a direction."""
    with torch.no_grad():
        ahead, behind = (given.scores(given.value_1X + sign * step * direction_1X)[0, m].double() for sign in (1, -1))
    return ((ahead - behind) / (2 * step)).item()


def inputs_of(vlm, **more):
    """Both inputs, or the pixels alone where image tokens have no place in the picture."""
    reader = reader_of(vlm, **more)
    return [PixelInput(reader)] + ([] if vlm.name in NO_BOXES else [EmbeddingInput(reader)])


@pytest.mark.parametrize("name", ONE_OF_EACH_KIND)
def test_gradients_equal_finite_differences(name):
    vlm = tiny(name)
    try:
        vlm.model.double()
        for given in inputs_of(vlm, words="dog red", foil="cat"):
            given.value_1X = given.value_1X.double()
            with frozen(vlm.model):
                found = gradient(given)
            for m, gradient_1X in enumerate(found):
                # Along itself the gradient is largest, so that a wrong entry shows.
                for direction in (gradient_1X, torch.randn_like(gradient_1X)):
                    direction_1X = direction / direction.norm()
                    # Logits are read as float32, which bounds how exact a difference can be.
                    expected = difference(given, direction_1X, m, 1e-2)
                    got = (gradient_1X * direction_1X).sum().item()
                    assert got == pytest.approx(expected, rel=0.02, abs=2e-3 * gradient_1X.norm().item() + 1e-4)
    finally:
        vlm.model.float()


def test_gradient_of_a_picture_pixel_equals_a_brighter_pixel(bundled):
    """On the bundled model at its own size a pixel of the map is one pixel of the picture."""
    picture = Image.open(PARK).convert("RGB").resize((96, 96))
    reader = reader_of(bundled, picture, words="dog")
    given = PixelInput(reader)
    with frozen(bundled.model):
        map_HW = given.to_picture(gradient(given)[0], "sum")
    y, x = np.unravel_index(np.abs(map_HW).argmax(), map_HW.shape)
    step = 3 / (255 * np.mean(bundled.processor.image_processor.image_std))
    changed = [np.asarray(picture).astype(int) for _ in range(2)]
    changed[0][y, x] += 3
    changed[1][y, x] -= 3
    ahead, behind = reader.read_many(
        reader.pixels(Image.fromarray(array.clip(0, 255).astype(np.uint8))) for array in changed
    )
    assert map_HW[y, x] == pytest.approx(float(ahead - behind) / (2 * step), rel=0.05)


@pytest.mark.parametrize("name", ["llava_clip_llama", "llava_next", "qwen3_vl", "mllama", "florence2", "git"])
def test_integrated_gradients_add_up(name):
    """Completeness (Sundararajan et al. 2017, proposition 1)."""
    for given in inputs_of(tiny(name), words="dog frisbee"):
        baseline_1X = given.of_picture(noise(seed=1))
        with frozen(tiny(name).model):
            found = integrated_gradients(given, baseline_1X, 24)
            with torch.no_grad():
                gap_M = (given.scores(given.value_1X) - given.scores(baseline_1X))[0]
        for attribution_1X, gap in zip(found, gap_M, strict=True):
            assert attribution_1X.sum().item() == pytest.approx(gap.item(), abs=0.02 * max(1, abs(gap.item())))


def test_integrated_gradients_add_up_on_the_bundled_model(bundled):
    encoding = bundled.encode(PARK, None, "a dog and a red frisbee on the grass at noon")
    reader = Reader(bundled, encoding, choose_target(bundled, encoding, "word", "dog"))
    given = EmbeddingInput(reader)
    baseline_1X = given.of_picture(Image.new("RGB", (512, 512), bundled.neutral_colour))
    with frozen(bundled.model):
        (found_1X,) = integrated_gradients(given, baseline_1X, 32)
        with torch.no_grad():
            gap = (given.scores(given.value_1X) - given.scores(baseline_1X)).item()
    assert found_1X.sum().item() == pytest.approx(gap, rel=0.05)
    assert given.to_picture(found_1X, "sum").sum() == pytest.approx(found_1X.sum().item(), rel=1e-3)


@pytest.mark.parametrize("name", ONE_OF_EACH_KIND)
def test_smoothgrad_without_noise_is_the_gradient(name):
    given = inputs_of(tiny(name), words="dog red")[-1]
    with frozen(tiny(name).model):
        for a, b in zip(smoothgrad(given, 3, 0.0, 0), gradient(given), strict=True):
            torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


def test_smoothgrad_is_the_mean_over_noisy_copies(bundled):
    given = inputs_of(bundled, picture=PARK, words="dog")[1]
    with frozen(bundled.model):
        torch.manual_seed(5)
        (found_1X,) = smoothgrad(given, 4, 0.1, seed=3)
        after = torch.rand(1)
        (again_1X,) = smoothgrad(given, 4, 0.1, seed=3)
        (other_1X,) = smoothgrad(given, 4, 0.1, seed=4)
        clean_1X = given.value_1X
        torch.manual_seed(3)
        spread = clean_1X.max() - clean_1X.min()
        total = 0
        for start in (0, 3):  # as many to a forward as the reader's batch size
            count = min(3, 4 - start)
            noisy_NX = torch.normal(clean_1X.repeat_interleave(count, 0), 0.1 * float(spread))
            for noisy_X in noisy_NX:
                given.value_1X = noisy_X[None]
                total = total + gradient(given)[0]
    torch.testing.assert_close(found_1X, total / 4, atol=1e-6, rtol=1e-4)
    torch.testing.assert_close(found_1X, again_1X, atol=0, rtol=0)
    assert not torch.equal(found_1X, other_1X)
    torch.manual_seed(5)
    assert torch.equal(after, torch.rand(1)), "the user's own random numbers go on as if nothing had been drawn"


def test_gradient_x_input_is_their_product(bundled):
    given = inputs_of(bundled, picture=PARK, words="dog")[1]
    with frozen(bundled.model):
        (product_1X,), (gradient_1X,) = gradient_x_input(given), gradient(given)
    torch.testing.assert_close(product_1X, gradient_1X * given.value_1X)
    # Section 1.5 of the methods: s_j = || d log p / d v_j ||_2 for image token j.
    norm_HW = given.to_picture(gradient_1X, "norm")
    assert norm_HW[2, 3] == pytest.approx(gradient_1X[0, 2 * 8 + 3].norm().item(), rel=1e-5)


# Of Idefics the image tokens are not reached, and DeepSeek-VL hybrids are given the picture twice; both are refused.
@pytest.mark.parametrize(
    "name", [name for name in BUILDERS if name not in NO_BOXES | {"idefics", "deepseek_vl_hybrid"}]
)
def test_image_tokens_put_back_change_nothing_and_others_are_seen(name):
    vlm = tiny(name)
    reader = reader_of(vlm, words="dog red")
    given = EmbeddingInput(reader)
    with torch.no_grad():
        own_NM = given.scores(given.value_1X.repeat(2, 1, 1))
        plain_M = reader.scores(given._pixels_1X)[0]
        torch.testing.assert_close(own_NM, plain_M.expand(2, -1), atol=1e-4, rtol=1e-5)
        # With the image tokens of another picture the model sees that picture.
        other_M = given.scores(given.of_picture(noise(seed=1)))[0]
    encoding = vlm.encode(noise(seed=1), reader.encoding.prompt, reader.encoding.response)
    (logits_TV,) = vlm.read(encoding, [Continuation(encoding.response_ids)])
    ids_T = torch.tensor(encoding.response_ids)
    logprob_T = logits_TV[:-1].log_softmax(-1).gather(-1, ids_T[:, None])[:, 0]
    expected_M = torch.stack([logprob_T[list(unit)].sum() for unit in reader.target.tokens])
    torch.testing.assert_close(other_M, expected_M, atol=1e-4, rtol=1e-5)
    assert not given.door.image_hook.module._forward_pre_hooks, "the model must be left as it was found"


def test_the_model_is_left_as_it_was(bundled):
    model = bundled.model
    parameters = list(model.parameters())
    parameters[0].requires_grad_(False)
    model.model.vision_tower.train()
    before = [parameter.requires_grad for parameter in parameters], [module.training for module in model.modules()]
    try:
        with pytest.raises(RuntimeError), frozen(model):
            assert not any(parameter.requires_grad for parameter in parameters)
            assert not any(module.training for module in model.modules())
            raise RuntimeError
        assert before == ([p.requires_grad for p in parameters], [module.training for module in model.modules()])
        assert all(parameter.grad is None for parameter in parameters)
    finally:
        parameters[0].requires_grad_(True)
        model.eval()

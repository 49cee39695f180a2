"""The algebra of CE-PO's coherence channels."""

import math

import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from causal_attrib.errors import InputError
from causal_attrib.scores.coherence_channels.algebra import (
    aligned_mean,
    channel_score,
    direct_effect,
    harden,
    magnitude,
    spectral_share,
)

# A test's first tensor may cost more than hypothesis allows an example, and arrays are slow to draw on a busy machine.
on_tensors = settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
GENERATOR = torch.Generator().manual_seed(0)
NAN = math.nan


def random(*shape):
    return torch.randn(shape, dtype=torch.float64, generator=GENERATOR)


def rank_1(rows, width):
    return random(rows, 1) @ random(1, width)


def test_nothing_left_gives_the_floor():
    """methods.md 6: J == C gives 0.005."""
    jacobian = random(6, 16)
    assert channel_score(jacobian, jacobian).item() == pytest.approx(0.005, abs=1e-6)
    assert channel_score(jacobian, -3 * jacobian).item() == pytest.approx(0.005, abs=1e-6)
    assert channel_score(jacobian.float(), jacobian.float()).item() == pytest.approx(0.005, abs=1e-5)


def test_rank_1_with_an_orthogonal_counterfactual_gives_one():
    """methods.md 6: about 1, and so does one row."""
    for jacobian in (rank_1(6, 16), random(1, 16)):
        counterfactual = harden(random(*jacobian.shape), jacobian)
        assert channel_score(jacobian, counterfactual).item() == pytest.approx(1, abs=1e-6)
        near = counterfactual + 0.01 * jacobian
        assert channel_score(jacobian, near).item() == pytest.approx(1, abs=0.01)


matrices = arrays(float, (3, 4), elements=st.floats(-3, 3).map(lambda x: round(x, 3)))


@on_tensors
@given(matrices, matrices)
def test_hardened_is_orthogonal_to_the_counterfactual(jacobian, counterfactual):
    jacobian, counterfactual = torch.from_numpy(jacobian), torch.from_numpy(counterfactual)
    assume(counterfactual.norm() > 0.1)
    residual = harden(jacobian, counterfactual)
    assert (residual * counterfactual).sum().item() == pytest.approx(0, abs=1e-8)
    removed = jacobian - residual
    torch.testing.assert_close(
        removed, counterfactual * (removed * counterfactual).sum() / counterfactual.square().sum()
    )


@on_tensors
@given(matrices, matrices)
def test_magnitude_is_the_sine_squared(jacobian, counterfactual):
    """methods.md 2.1, derived: mag = 1 - cos^2(J, C)."""
    jacobian, counterfactual = torch.from_numpy(jacobian), torch.from_numpy(counterfactual)
    assume(min(jacobian.norm(), counterfactual.norm()) > 0.1)
    cosine = torch.nn.functional.cosine_similarity(jacobian.flatten(), counterfactual.flatten(), dim=0)
    found = magnitude(harden(jacobian, counterfactual), jacobian)
    assert found.item() == pytest.approx(1 - cosine.item() ** 2, abs=1e-8)


@on_tensors
@given(matrices)
def test_spectral_share_is_that_of_the_gram_matrix(jacobian):
    jacobian = torch.from_numpy(jacobian)
    assume(jacobian.norm() > 0.1)
    energy = torch.linalg.eigvalsh(jacobian @ jacobian.T)
    found = spectral_share(jacobian).item()
    assert found == pytest.approx((energy.max() / energy.sum()).item())
    assert 1 / 3 - 1e-9 <= found <= 1 + 1e-9


def test_magnitude_is_cut_at_one():
    jacobian = random(3, 4)
    assert magnitude(2 * jacobian, jacobian).item() == 1.0
    assert magnitude(0.5 * jacobian, jacobian).item() == pytest.approx(0.25)


def test_spectral_share_of_known_matrices():
    assert spectral_share(random(1, 9)).item() == pytest.approx(1)
    assert spectral_share(rank_1(5, 9)).item() == pytest.approx(1)
    assert spectral_share(torch.eye(4)).item() == pytest.approx(1 / 4)
    assert spectral_share(torch.zeros(3, 4)).item() == 0.0


@on_tensors
@given(matrices, matrices, st.floats(0, 1))
def test_channel_is_the_formula_and_in_range(jacobian, counterfactual, floor):
    jacobian, counterfactual = torch.from_numpy(jacobian), torch.from_numpy(counterfactual)
    along = (jacobian * counterfactual).sum() / ((counterfactual**2).sum() + 1e-12)
    residual = jacobian - along * counterfactual
    sigma = torch.linalg.svdvals(residual)
    shape = (sigma[0] ** 2 / (sigma**2).sum()).item() if residual.any() else 0.0
    mag = min(1.0, ((residual**2).sum() / ((jacobian**2).sum() + 1e-12)).item())
    found = channel_score(jacobian, counterfactual, floor).item()
    assert found == pytest.approx(floor + (1 - floor) * math.sqrt(shape * mag), abs=1e-9)
    assert floor - 1e-9 <= found <= 1 + 1e-9


@on_tensors
@given(matrices, matrices, st.floats(0.1, 10), st.floats(0.1, 10))
def test_channel_does_not_depend_on_the_scale_of_gradients(jacobian, counterfactual, a, b):
    jacobian, counterfactual = torch.from_numpy(jacobian), torch.from_numpy(counterfactual)
    assume(min(jacobian.norm(), counterfactual.norm()) > 0.1)
    before, after = channel_score(jacobian, counterfactual), channel_score(a * jacobian, b * counterfactual)
    assert after.item() == pytest.approx(before.item(), abs=1e-6)


def test_direct_effect_equals_the_loop():
    total, reasoning, answer = random(4, 6), random(4, 6), random(3, 6)
    u = sum(row / (row.norm() + 1e-8) for row in answer) / 3
    through = torch.stack([row * u for row in reasoning])
    a = (total * through).sum() / ((through * through).sum() + 1e-8)
    torch.testing.assert_close(direct_effect(total, reasoning, answer), total - a * through)


def test_direct_effect_takes_out_all_that_runs_through_the_reasoning():
    reasoning, answer = random(4, 6), random(3, 6)
    through = reasoning * (answer / answer.norm(dim=1, keepdim=True)).mean(0)
    assert direct_effect(5 * through, reasoning, answer).abs().max() < 1e-6
    remaining = direct_effect(random(4, 6), reasoning, answer)
    assert (remaining * through).sum().item() == pytest.approx(0, abs=1e-6)


def test_direct_effect_is_skipped_where_nothing_runs_through():
    """methods.md 2.1: no regression where <M, M> <= 1e-12."""
    total, answer = random(4, 6), random(3, 6)
    assert torch.equal(direct_effect(total, torch.zeros(4, 6), answer), total)
    assert torch.equal(direct_effect(total, 1e-8 * random(4, 6), answer), total)


def test_aligned_mean_cuts_and_fills():
    long, short = random(5, 3), random(2, 3)
    mean = aligned_mean([long, short], 4)
    expected = (long[:4] + torch.cat([short, torch.zeros(2, 3)])) / 2
    torch.testing.assert_close(mean, expected)
    assert torch.equal(aligned_mean([long], 5), long)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_coarse_inputs_are_computed_in_float32(dtype):
    jacobian, counterfactual, third = (random(5, 8).to(dtype) for _ in range(3))
    assert channel_score(jacobian, counterfactual).dtype == torch.float32
    for function, count in ((channel_score, 2), (harden, 2), (direct_effect, 3)):
        inputs = (jacobian, counterfactual, third)[:count]
        assert torch.equal(function(*inputs), function(*(x.float() for x in inputs)))
    assert torch.equal(aligned_mean([jacobian, third], 4), aligned_mean([jacobian.float(), third.float()], 4))


def test_makes_no_tensor_on_the_default_device():
    jacobian, counterfactual, answer = random(5, 8), random(5, 8), random(3, 8)
    with torch.device("meta"):
        mean = aligned_mean([counterfactual, counterfactual[:2]], 5)
        found = [channel_score(jacobian, mean), direct_effect(jacobian, counterfactual, answer)]
    assert all(x.device.type == "cpu" for x in found)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: channel_score(torch.ones(2, 3), torch.ones(3, 3)), r"The counterfactual has shape \(3, 3\)"),
        (lambda: channel_score(torch.ones(3), torch.ones(3)), "one row per token"),
        (lambda: channel_score(torch.ones(0, 3), torch.ones(0, 3)), "one row per token"),
        (lambda: channel_score(torch.tensor([[NAN]]), torch.ones(1, 1)), "The Jacobian holds NaN"),
        (lambda: channel_score(torch.ones(1, 1), torch.ones(1, 1), floor=NAN), "floor of a channel"),
        (lambda: magnitude(torch.ones(1, 2), torch.ones(2, 2)), "The residual has shape"),
        (lambda: direct_effect(torch.ones(2, 3), torch.ones(3, 3), torch.ones(4, 3)), "J_ZX has shape"),
        (lambda: direct_effect(torch.ones(2, 3), torch.ones(2, 3), torch.ones(4, 2)), "J_XY has shape"),
        (lambda: aligned_mean([], 2), "no counterfactual"),
        (lambda: aligned_mean([torch.ones(2, 3), torch.ones(2, 4)], 2), "A counterfactual has shape"),
        (lambda: aligned_mean([torch.ones(2, 3), torch.full((2, 3), NAN)], 2), "A counterfactual holds NaN"),
    ],
)
def test_bad_input(call, words):
    with pytest.raises(InputError, match=words):
        call()

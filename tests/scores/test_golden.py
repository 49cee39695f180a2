"""Golden values of the papers' formulas, and of their known bias."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from causal_attrib.errors import InputError
from causal_attrib.scores import causal_completeness, logprob_and_entropy, necessity, sufficiency
from causal_attrib.scores.settings import Settings

# COPO's worked example: sufficiency, necessity, causal score at lambda 0.35 / 0.35.
TRIPLES = {
    "dog": (0.87, 0.81, 0.588),
    "brown": (0.68, 0.54, 0.427),
    "frisbee": (0.65, 0.63, 0.448),
    "grass": (0.71, 0.61, 0.462),
    "sunset": (0.09, 0.03, 0.042),
    "quickly": (0.11, 0.03, 0.049),
}


def test_copo_triples():
    suff, nec, causal = map(np.array, zip(*TRIPLES.values(), strict=True))
    np.testing.assert_allclose(causal_completeness(suff, nec), causal, atol=1e-12)


def test_completeness_clips_only_for_itself():
    assert causal_completeness(np.array([0.5]), np.array([-0.4]))[0] == pytest.approx(0.175)


UNIT = [(0,)]


def binary(p, draws, seed):
    return (np.random.default_rng(seed).random(draws) < p).astype(float)


@pytest.mark.parametrize(("p0", "p1", "expected"), [(0.5, 0.5, 0.25), (0.3, 0.8, 0.56), (0.1, 0.1, 0.09)])
def test_paired_sufficiency_tends_to_p1_times_1_minus_p0(p0, p1, expected):
    """The bias is the estimator's, at any H: here one estimate with very many draws."""
    outcome_NH = np.stack([binary(p0, 400_000, 1), binary(p1, 400_000, 2)])
    suff, error = sufficiency.read(UNIT, outcome_NH)
    assert abs(suff[0] - expected) < 4 * error[0] < 0.004


def test_bias_does_not_shrink_with_more_draws_but_the_gain_estimator_s_does():
    """No effect, p = 0.5, H = 8, mean of 20,000 estimates: 0.25 paired, 0.098 for relu of the mean difference."""
    rng = np.random.default_rng(0)
    runs = [(rng.random((2, 8)) < 0.5).astype(float) for _ in range(20_000)]
    assert np.mean([sufficiency.read(UNIT, run)[0][0] for run in runs]) == pytest.approx(0.25, abs=0.005)
    gain = np.mean([sufficiency.read(UNIT, run, "mean_gain")[0][0] for run in runs])
    assert gain == pytest.approx(0.098, abs=0.002)


@pytest.mark.parametrize(("p0", "p1", "expected"), [(0.5, 0.5, 0.25), (0.3, 0.8, 0.56), (0.1, 0.1, 0.09)])
def test_the_product_has_the_paired_value_with_less_noise(p0, p1, expected):
    rng = np.random.default_rng(0)
    runs = [np.stack([rng.random(8) < p0, rng.random(8) < p1]).astype(float) for _ in range(20_000)]
    found = [sufficiency.read(UNIT, run, "product") for run in runs]
    products, errors = np.array([suff[0] for suff, _ in found]), np.array([error[0] for _, error in found])
    paired = np.array([sufficiency.read(UNIT, run)[0][0] for run in runs])
    assert products.mean() == pytest.approx(expected, abs=0.005) and products.std() < paired.std()
    # The stated error is the spread of the estimates.
    assert np.sqrt((errors**2).mean()) == pytest.approx(products.std(), rel=0.1)


def test_the_product_is_for_outcomes_of_0_and_1():
    with pytest.raises(InputError, match="The estimator product is for outcomes of 0 and 1"):
        sufficiency.read(UNIT, np.array([[0.2], [1.0]]), "product")
    with pytest.raises(InputError, match="and grounding is graded; take the outcome match"):
        Settings(outcome="grounding", estimator="product")
    assert Settings(outcome="match", estimator="product")


def test_plain_gain():
    outcome_NH = np.stack([binary(0.3, 400_000, 1), binary(0.8, 400_000, 2)])
    assert sufficiency.read(UNIT, outcome_NH, "mean_gain")[0][0] == pytest.approx(0.5, abs=0.004)


@given(st.integers(1, 6), st.integers(1, 5), st.data())
def test_sufficiency_is_the_loop_of_the_paper(units, draws, data):
    r = data.draw(arrays(float, (units + 1, draws), elements=st.floats(0, 1)))
    suff, error = sufficiency.read([(t,) for t in range(units)], r)
    for t in range(units):
        terms = [max(r[t + 1, k] - r[t, k], 0.0) for k in range(draws)]
        assert suff[t] == pytest.approx(sum(terms) / draws)
        if draws > 1:
            assert error[t] == pytest.approx(np.std(terms, ddof=1) / draws**0.5)
    assert ((suff >= 0) & (suff <= 1)).all()
    assert (error is None) == (draws == 1)


@given(arrays(float, 5, elements=st.floats(0, 1)))
def test_necessity_is_a_difference(r):
    assert necessity.read(r).tolist() == [r[0] - r[i] for i in range(1, 5)]
    assert necessity.read(r[:4], rewrites=True).tolist() == [r[0] - r[1], r[2] - r[3]]


def test_entropy_of_known_distributions():
    """HERO's worked entropies come from distributions it does not give; these have closed forms."""
    logits_TV = torch.tensor([[0.0, 0.0, 0.0, 0.0], [0.0, float("-inf"), float("-inf"), 0.0], [50.0, 0.0, 0.0, 0.0]])
    logprob, entropy = logprob_and_entropy(logits_TV, (1, 3, 0))
    np.testing.assert_allclose(entropy, [np.log(4), np.log(2), 0.0], atol=1e-6)
    np.testing.assert_allclose(logprob, [-np.log(4), -np.log(2), 0.0], atol=1e-6)


def test_entropy_is_in_float32_whatever_the_logits():
    logits_TV = torch.randn(3, 1000, generator=torch.Generator().manual_seed(0))
    coarse = logprob_and_entropy(logits_TV.bfloat16(), (0, 1, 2))[1]
    fine = logprob_and_entropy(logits_TV.bfloat16().double(), (0, 1, 2))[1]
    np.testing.assert_allclose(coarse, fine, atol=1e-5)


@pytest.mark.parametrize(
    ("p0", "p1", "low", "high"), [(0.3, 0.8, 0.5, 0.7), (0.5, 0.5, 0.0, 0.5), (0.1, 0.6, 0.5, 0.6)]
)
def test_coupled_draws_stay_within_the_bounds_of_any_coupling(p0, p1, low, high):
    """The bounds are max(0, p1 - p0) and min(p1, 1 - p0), [0.5, 0.7] in the first case; independent draws have 0.56.

    A toy: both arms draw one of two words by a softmax, with the same Gumbel noise. That is never above independence.
    """
    noise_K2 = -np.log(np.random.default_rng(0).standard_exponential((400_000, 2)))
    outcome_NH = np.stack([(np.log([p, 1 - p]) + noise_K2).argmax(1) == 0 for p in (p0, p1)]).astype(float)
    coupled = sufficiency.read(UNIT, outcome_NH)[0][0]
    assert low - 0.004 < coupled < high and coupled < p1 * (1 - p0)

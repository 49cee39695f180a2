"""Sampled sufficiency stops when it knows enough, and its interval holds whenever that is."""

import numpy as np
import pytest

import causal_attrib
from causal_attrib import Attribution, InputError
from causal_attrib.engine import PackedEngine
from causal_attrib.interventions import Keep
from causal_attrib.scores import sufficiency
from causal_attrib.scores.sequential import betting_interval
from causal_attrib.scores.settings import Settings
from tests.conftest import DIGEST, PARK

# Differences of outcomes as coupled draws give them: mostly 0, else one way or the other.
DIFFERENCES = {"none": (0.0, 0.0), "rare": (0.08, 0.0), "strong": (0.6, 0.1), "even": (0.3, 0.3), "always": (1.0, 0.0)}


@pytest.mark.parametrize("of", DIFFERENCES)
def test_the_interval_holds_at_a_stop_that_looks_at_the_draws(of):
    """1,000 runs of at most 64 draws, each stopped where its standard error is below .05: at most 5 % miss the mean.

    That is 50 runs, and by chance no more than 71 (the binomial's 99.9th percentile).
    """
    up, down = DIFFERENCES[of]
    u_UK = np.random.default_rng(0).random((1000, 64))
    x_UK = np.where(u_UK < up, 1.0, np.where(u_UK > 1 - down, -1.0, 0.0))
    for count in (8, 16, 32):
        enough_U = np.nanstd(x_UK[:, :count], axis=1, ddof=1) / np.sqrt(count) < 0.05
        x_UK[enough_U, count:] = np.nan
    low_U, high_U = betting_interval(x_UK, -1.0, 1.0)
    assert ((low_U > up - down) | (high_U < up - down)).sum() <= 71


def test_the_interval_says_something():
    low_U, high_U = betting_interval(np.zeros((1, 64)), -1.0, 1.0)
    assert -0.2 < low_U[0] < 0 < high_U[0] < 0.2
    even_low_U, even_high_U = betting_interval(np.resize([1.0, -1.0, 0.0], (1, 60)), -1.0, 1.0)
    assert -0.5 < even_low_U[0] < 0 < even_high_U[0] < 0.5


def test_the_interval_by_hand():
    """Two draws of 1 in [0, 1]: l_1 = sqrt(2 log 40 / (.25 log 2)) = 6.52, v_1 = (.25 + .25^2) / 2, l_2 = 4.64.

    (1 + 6.52 (1 - m)) (1 + 4.64 (1 - m)) is above 40 for m < .0334: lower means are excluded. The other bets lose.
    """
    low_U, high_U = betting_interval(np.array([[1.0, 1.0]]), 0.0, 1.0)
    assert high_U[0] == 1.0 and 0.0334 - 0.01 < low_U[0] <= 0.0334
    # Nothing is learnt from draws that were not made.
    again_U, _ = betting_interval(np.array([[1.0, 1.0, np.nan, np.nan]]), 0.0, 1.0)
    assert again_U[0] == low_U[0]


def test_units_are_read_from_the_draws_that_both_prefixes_have():
    r = np.array([[0.0, 1.0, 0.0, 0.0], [1.0, 1.0, np.nan, np.nan], [1.0, 0.0, 1.0, 1.0]])
    r[2, 2:] = np.nan
    found, error = sufficiency.read([(0,), (1,)], r, "mean_gain")
    assert found.tolist() == [0.5, 0.0] and error[0] == pytest.approx(0.5) and error[1] == pytest.approx(0.5)
    assert sufficiency.draws_of([(0,), (1,)], r).tolist() == [2, 2]
    # Unit 0 has the differences 1 and 0, unit 1 has 0 and -1.
    assert sufficiency.unsettled([(0,), (1,)], r, "mean_gain", 0.4) == [0, 1, 2]
    r[1] = r[0]
    assert sufficiency.unsettled([(0,), (1,)], r[:, :2], "mean_gain", 0.1) == [1, 2]
    assert sufficiency.read([(0,)], r[:2], "product")[0] == pytest.approx(0.25 * 0.75)


@pytest.mark.parametrize("coupling", ["gumbel", "independent"])
def test_draws_that_are_made_later_are_those_that_would_have_been(bundled, coupling):
    encoding = bundled.encode(PARK, response="a dog on the grass")
    plan = (Keep(0), Keep(2), Keep(3))
    how = {"seed": 1, "coupling": coupling}
    at_once = PackedEngine(bundled).run(encoding, plan, DIGEST, samples=4, **how)
    engine = PackedEngine(bundled)
    jobs = [causal_attrib.engine.Job(encoding, plan, DIGEST)]
    (first,), (then,) = (engine.run_jobs(jobs, samples=2, first=first, **how) for first in (0, 2))
    np.testing.assert_array_equal(np.hstack([first, then]), at_once)
    some = [causal_attrib.engine.Job(encoding, plan[1:], DIGEST, streams=(1, 2))]
    np.testing.assert_array_equal(engine.run_jobs(some, samples=2, first=2, **how)[0], then[1:])


def test_drawing_stops_where_completions_agree(bundled, tmp_path):
    asked = {"objects": ["dog"], "samples": 24, "model": bundled, "seed": 3}
    stopped = causal_attrib.score(PARK, "a dog on the grass", **asked)
    every = causal_attrib.score(PARK, "a dog on the grass", precision=0, **asked)
    assert (stopped.settings["estimator"], stopped.settings["coupling"]) == ("mean_gain", "gumbel")
    draws = stopped.sampling["draws"]
    assert (
        set(every.sampling["draws"]) == {24} and min(draws) == 8 and stopped.cost["positions"] < every.cost["positions"]
    )
    for t, token in enumerate(stopped):
        assert token.sufficiency_se < 0.02 or draws[t] == 24
        if draws[t] == 24:
            assert token.sufficiency == pytest.approx(every[t].sufficiency, abs=1e-12)
        assert stopped.sampling["low"][t] <= token.sufficiency <= stopped.sampling["high"][t]
    for format in ("json", "csv", "parquet"):
        stopped.save(tmp_path / f"a.{format}")
        assert Attribution.load(tmp_path / f"a.{format}") == stopped


def test_the_paper_s_estimator_is_that_of_log_probabilities_and_can_be_asked_for(bundled):
    paper = causal_attrib.score(
        PARK, "a dog", model=bundled, objects=["dog"], samples=2, estimator="paired", coupling="independent"
    )
    assert (paper.settings["estimator"], paper.settings["coupling"]) == ("paired", "independent")
    read = causal_attrib.score(PARK, "a dog", model=bundled)
    assert (read.settings["estimator"], read.settings["coupling"]) == (
        "paired",
        "independent",
    ) and read.sampling is None


@pytest.mark.parametrize("precision", [-0.1, float("nan"), "fine"])
def test_a_precision_that_cannot_be(precision):
    with pytest.raises(InputError, match="The precision is"):
        Settings(precision=precision)

"""Sets of regions: Shapley values of games whose values are known, and smallest regions that hold what they say."""

from dataclasses import dataclass
from itertools import permutations

import numpy as np
import pytest

from causal_attrib.scores.saliency_methods.baselines import baseline_picture
from causal_attrib.scores.saliency_methods.hiding import HiddenPixels, ends
from causal_attrib.scores.saliency_methods.regions import Regions, cut
from causal_attrib.scores.saliency_methods.shapley import shapley
from causal_attrib.scores.saliency_methods.smallest import smallest
from tests.conftest import PARK
from tests.saliency.common import reader_of


@dataclass
class Table:
    """A game of one function, given by a formula, that counts how often it is asked."""

    count: int
    formula: object
    asked: int = 0

    @property
    def regions(self) -> Regions:
        return Regions(np.eye(self.count, dtype=bool).reshape(-1, 1, self.count))

    def values(self, seen_NR):
        self.asked += len(seen_NR)
        return np.array([[self.formula(seen_R)] for seen_R in seen_NR], dtype=float)


def exact(game):
    """The Shapley value from all orders."""
    total_R = np.zeros(game.count)
    orders = list(permutations(range(game.count)))
    for order in orders:
        seen_R = np.zeros(game.count, dtype=bool)
        for region in order:
            before = game.formula(seen_R)
            seen_R[region] = True
            total_R[region] += game.formula(seen_R) - before
    return total_R / len(orders)


def test_a_linear_game_is_exact_in_one_order():
    weight_R = np.array([3.0, -1.0, 0.5, 0.0])
    game = Table(4, lambda seen_R: 2 + seen_R @ weight_R)
    value_MR, error_MR = shapley(game, 1, 0)
    np.testing.assert_allclose(value_MR[0], weight_R)
    assert error_MR is None and game.asked == 2 + 2 * 3
    np.testing.assert_allclose(shapley(game, 3, 0)[1], 0, atol=1e-12)


def test_games_of_pairs_are_exact_in_one_pair_of_orders():
    """Walked both ways, an interaction of two falls to each of them once: half each, which is its Shapley value."""
    pair_RR = np.random.default_rng(0).normal(size=(5, 5))
    game = Table(5, lambda seen_R: seen_R @ pair_RR @ seen_R)
    np.testing.assert_allclose(shapley(game, 1, 0)[0][0], exact(game))


def test_the_glove_game():
    """One left glove, two right ones, a pair is worth 1: the textbook's 2/3, 1/6, 1/6."""
    game = Table(3, lambda seen_R: float(seen_R[0] and (seen_R[1] or seen_R[2])))
    np.testing.assert_allclose(exact(game), [2 / 3, 1 / 6, 1 / 6])
    value_MR, error_MR = shapley(game, 400, 0)
    assert (np.abs(value_MR[0] - [2 / 3, 1 / 6, 1 / 6]) < 4 * error_MR[0] + 1e-9).all()
    assert value_MR.sum() == pytest.approx(1) and (error_MR < 0.05).all()


def test_shapley_values_of_a_picture_add_up(bundled):
    reader = reader_of(bundled, PARK, words="dog frisbee", batch_size=4)
    shown = baseline_picture("blur", reader.encoding.picture, bundled.neutral_colour)
    game = HiddenPixels(reader, cut("grid:3", reader.encoding.layout, (512, 512)), shown)
    value_MR, error_MR = shapley(game, 2, 0)
    full_M, empty_M = ends(game)
    np.testing.assert_allclose(value_MR.sum(1), full_M - empty_M, atol=1e-4)
    assert value_MR.shape == error_MR.shape == (2, 9)
    again_MR, _ = shapley(game, 2, 0)
    np.testing.assert_array_equal(value_MR, again_MR)


def test_smallest_sets_of_a_game_that_needs_two_of_three():
    """Regions 1 and 4 both carry the token, each by itself: both must go to drop it, one is enough to keep it."""
    game = Table(6, lambda seen_R: -10 + 9 * float(seen_R[1] or seen_R[4]) + 0.1 * seen_R[0])
    found = smallest(game, exact(game)[None], 0.5)[0]
    assert found["removal"]["regions"] == [1, 4] and found["removal"]["area"] == pytest.approx(2 / 6)
    assert len(found["presence"]["regions"]) == 1 and found["presence"]["regions"][0] in (1, 4)
    assert found["removal"]["value"] == pytest.approx(-9.9) and found["presence"]["value"] == pytest.approx(-1)
    assert found["threshold"] == pytest.approx(-10 + 0.5 * 9.1)


def test_a_poor_ranking_is_pruned():
    game = Table(6, lambda seen_R: float(seen_R[5]))
    found = smallest(game, np.array([[5.0, 4, 3, 2, 1, 0]]), 0.5)[0]
    assert found["removal"]["regions"] == [5] == found["presence"]["regions"]


def test_a_picture_that_speaks_against_the_target_has_no_smallest_set():
    found = smallest(Table(3, lambda seen_R: -float(seen_R.sum())), np.zeros((1, 3)))[0]
    assert found["removal"] is None and found["presence"] is None


def test_smallest_regions_of_a_picture_hold_when_read_again(bundled):
    reader = reader_of(bundled, PARK, words="dog frisbee", batch_size=4)
    shown = baseline_picture("blur", reader.encoding.picture, bundled.neutral_colour)
    game = HiddenPixels(reader, cut("grid:4", reader.encoding.layout, (512, 512)), shown)
    value_MR, _ = shapley(game, 1, 0)
    for m, found in enumerate(smallest(game, value_MR, 0.5)):
        for kind, sign in (("removal", -1), ("presence", 1)):
            chosen_R = np.isin(np.arange(16), found[kind]["regions"])

            def read(which_R, kind=kind, m=m):
                return game.values((which_R if kind == "presence" else ~which_R)[None])[0, m]

            assert read(chosen_R) == pytest.approx(found[kind]["value"], abs=1e-4)
            assert sign * (read(chosen_R) - found["threshold"]) >= 0
            assert chosen_R.mean() == pytest.approx(found[kind]["area"]) and chosen_R.mean() < 0.5
            for region in np.flatnonzero(chosen_R) if chosen_R.sum() > 1 else []:
                spared_R = chosen_R.copy()
                spared_R[region] = False
                assert sign * (read(spared_R) - found["threshold"]) < 0, "a region of it could be spared"

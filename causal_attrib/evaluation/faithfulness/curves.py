"""How faithful a map is: what becomes of the target f as cells of the picture are hidden in the map's order.

    deletion    mean of f from the whole picture to none of it, the map's highest cells hidden first: low is good
    insertion   mean of f from none of it to the whole picture, the map's highest cells shown first: high is good

These are the areas under the deletion and insertion curves of Petsiuk et al. 2018 (RISE, arXiv 1806.07421), by the
trapezoid rule over the share of cells. Theirs are of a probability, with grey for deletion and blur for insertion; here
f is what the map explains, a log-probability in nats, and a hidden cell shows the same baseline on both ways. A share
puts an area between the two ends, (area - f(none)) / (f(whole) - f(none)): 1 where f stays that of the whole picture.

Shown cell by cell in an order, the picture goes through the same states as when it is hidden in the reverse order. So
an insertion area is the deletion area of the reversed order, and for orders at random one band serves both.

Axes: N orders, R cells, M functions of the target, C stops on the way, H and W of a map.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from causal_attrib.evaluation.faithfulness.settings import check_numbers
from causal_attrib.scores.saliency_methods.geometry import shares
from causal_attrib.scores.saliency_methods.hiding import Game

# A map beats chance where orders at random do as well or better no more often than this.
LEVEL = 0.05
# Nats. Where the picture adds less to a word, there is no whole for an area to be a share of.
LEAST_GAIN = 0.1

BEATS, FAILS, NOTHING = "beats chance", "does not beat chance", "nothing to explain"


@dataclass(frozen=True)
class Faithfulness:
    """The areas of one map beside those of orders at random, all in nats.

    deletion, insertion:      the map's areas
    random_N:                 the deletion areas of orders at random
    deletion_C, insertion_C:  the map's curves, from the whole picture and from none of it
    """

    deletion: float
    insertion: float
    random_N: tuple[float, ...]
    deletion_C: tuple[float, ...]
    insertion_C: tuple[float, ...]

    @property
    def full(self) -> float:
        """f of the whole picture."""
        return self.deletion_C[0]

    @property
    def empty(self) -> float:
        """f of none of it."""
        return self.deletion_C[-1]

    @property
    def p(self) -> float:
        """How often an order at random deletes as well as the map, the map counted with them, in (0, 1].

        (1 + number of the N orders whose area is no larger) / (N + 1): Phipson and Smyth 2010 (doi
        10.2202/1544-6115.1585). Of orders at random, no more than `LEVEL` get a p that low.
        """
        return (1 + sum(area <= self.deletion for area in self.random_N)) / (len(self.random_N) + 1)

    @property
    def verdict(self) -> str:
        """Whether the map deletes better than orders at random; no map can where hiding changes hardly anything."""
        if np.ptp([*self.deletion_C, *self.insertion_C]) < LEAST_GAIN:
            return NOTHING
        return BEATS if self.p <= LEVEL else FAILS

    @property
    def random(self) -> float:
        """The mean area of orders at random, in nats."""
        return float(np.mean(self.random_N))

    def share(self, area: float) -> float | None:
        """An area with f(none) as 0 and f(whole) as 1, or None where the picture adds less than `LEAST_GAIN`.

        >>> Faithfulness(-4.0, -2.0, (-3.0,), (-1.0, -5.0), (-5.0, -1.0)).share(-4.0)
        0.25
        """
        gain = self.full - self.empty
        return (area - self.empty) / gain if gain >= LEAST_GAIN else None


def faithfulness(game: Game, order_KR: np.ndarray, random_NR: np.ndarray, steps: int) -> list[list[Faithfulness]]:
    """Each of K orders, judged by each of the game's M functions: K lists of M.

    Args:
        order_KR: cells from a map's highest to its lowest.
        random_NR: orders at random, `LEAST_ORDERS` of them or more; they serve all.
        steps: in how many steps the cells are hidden. An order takes `2 (steps - 1)` forwards, one at random half of
            that, and two more are shared.

    Raises:
        InputError: too few orders at random, or no step between the ends.
    """
    check_numbers(steps, len(random_NR))
    count = len(order_KR)
    curve_NMC = curves(game, np.concatenate([order_KR, order_KR[:, ::-1], random_NR]), steps)
    area_NM = areas(curve_NMC, stops(len(game.regions), steps))
    return [
        [
            Faithfulness(
                deletion=float(area_NM[k, m]),
                insertion=float(area_NM[count + k, m]),
                random_N=tuple(area_NM[2 * count :, m].tolist()),
                deletion_C=tuple(curve_NMC[k, m].tolist()),
                # The reversed order hides what this one shows last.
                insertion_C=tuple(curve_NMC[count + k, m, ::-1].tolist()),
            )
            for m in range(curve_NMC.shape[1])
        ]
        for k in range(count)
    ]


def curves(game: Game, order_NR: np.ndarray, steps: int) -> np.ndarray:
    """The target (N, M, C) as cells are hidden, each order's first ones first; C is `len(stops(R, steps))`."""
    rank_NR = np.argsort(order_NR, axis=1)
    hidden_C = stops(order_NR.shape[1], steps)
    between_CNR = rank_NR >= hidden_C[1:-1, None, None]
    ends_2R = np.array([[True], [False]]).repeat(order_NR.shape[1], 1)
    value_BM = game.values(np.concatenate([ends_2R, between_CNR.reshape(-1, order_NR.shape[1])]))
    between_CNM = value_BM[2:].reshape(len(hidden_C) - 2, len(order_NR), -1)
    full_1NM, empty_1NM = (np.broadcast_to(end_M, (1, *between_CNM.shape[1:])) for end_M in value_BM[:2])
    return np.concatenate([full_1NM, between_CNM, empty_1NM]).transpose(1, 2, 0)


def stops(cells: int, steps: int) -> np.ndarray:
    """How many cells are hidden at each stop (C,), from none to all; the same when counted from the other end.

    >>> stops(64, 4), stops(5, 2)
    (array([ 0, 16, 32, 48, 64]), array([0, 2, 3, 5]))
    """
    hidden_C = np.rint(np.linspace(0, cells, steps + 1)).astype(int)
    return np.union1d(hidden_C, cells - hidden_C)


def areas(curve_XC: np.ndarray, hidden_C: np.ndarray) -> np.ndarray:
    """The area under each curve over the share of cells hidden: the curve's mean, by the trapezoid rule.

    >>> float(areas(np.array([0.0, -3.0, -4.0]), np.array([0, 1, 4])))
    -3.0
    """
    return (curve_XC[..., 1:] + curve_XC[..., :-1]) @ np.diff(hidden_C) / (2 * hidden_C[-1])


def order_of(map_HW: np.ndarray, rows: int, columns: int, seed: int) -> np.ndarray:
    """The cells (R,) of a grid from a map's highest to its lowest; a cell has the mean of what the map has there.

    Cells of equal value are ordered at random.

    >>> order_of(np.array([[1.0, 3.0], [2.0, 2.5]]), 1, 2, seed=0)
    array([1, 0])
    """
    cell_R = (shares(rows, 0, 1, map_HW.shape[0]) @ map_HW @ shares(columns, 0, 1, map_HW.shape[1]).T).ravel()
    # What differs by rounding only is equal.
    cell_R = np.round(cell_R / (np.abs(cell_R).max() or 1.0), 9)
    return np.lexsort((np.random.default_rng(seed).random(len(cell_R)), -cell_R))


def random_orders(count: int, cells: int, seed: int) -> np.ndarray:
    """Orders (N, R) at random."""
    # Another stream than the one that ties are broken by.
    return np.random.default_rng([seed, 1]).permuted(np.tile(np.arange(cells), (count, 1)), axis=1)

"""The smallest region whose removal drops a token, and the smallest whose presence keeps it.

With f(I) the target for the whole picture and f(0) for none of it, a token counts as dropped where f falls to
f(0) + share (f(I) - f(0)) or below, and as kept where it stays there or above.

The search is greedy, after a ranking of the regions: it takes them from the top until the token is dropped (kept), then
gives back every one that can be spared. What is left is minimal in that no single region of it can be spared; a quite
different set may still be smaller. Each set that is reported was put through the model once more by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from causal_attrib.scores.saliency_methods.hiding import Game, ends

# Sets of a growing region that are tried in one go.
STRIDE = 8


def smallest(game: Game, ranking_MR: np.ndarray, share: float = 0.5) -> list[dict[str, Any]]:
    """For each of the M functions `{"threshold", "removal", "presence"}`.

    `removal` and `presence` are `{"regions": indices, "area": share of the picture, "value": f as verified}`, or None
    where there is no such set, since the picture does not speak for the target at all.

    Args:
        ranking_MR: a value per region, such as its Shapley value; the highest is tried first.
    """
    full_M, empty_M = ends(game)
    return [_of_one(game, m, ranking_MR[m], float(full_M[m]), float(empty_M[m]), share) for m in range(len(ranking_MR))]


def _of_one(game: Game, m: int, ranking_R: np.ndarray, full: float, empty: float, share: float) -> dict[str, Any]:
    threshold = empty + share * (full - empty)
    order = np.argsort(-ranking_R, kind="stable")
    if full <= empty:
        return {"threshold": threshold, "removal": None, "presence": None}

    def without(chosen_NR: np.ndarray) -> np.ndarray:
        return game.values(~chosen_NR)[:, m]

    def only(chosen_NR: np.ndarray) -> np.ndarray:
        return game.values(chosen_NR)[:, m]

    return {
        "threshold": threshold,
        "removal": _search(game, order, without, lambda value_N: value_N <= threshold),
        "presence": _search(game, order, only, lambda value_N: value_N >= threshold),
    }


def _search(
    game: Game,
    order: np.ndarray,
    read: Callable[[np.ndarray], np.ndarray],
    reached: Callable[[np.ndarray], np.ndarray],
) -> dict[str, Any]:
    count = len(order)
    growing_NR = np.zeros((count, count), dtype=bool)
    for step, region in enumerate(order):
        growing_NR[step:, region] = True
    # The last one is everything, which reaches the threshold by its definition.
    chosen_R = growing_NR[-1]
    for start in range(0, count, STRIDE):
        part_NR = growing_NR[start : start + STRIDE]
        hits = np.flatnonzero(reached(read(part_NR)))
        if len(hits):
            chosen_R = part_NR[hits[0]]
            break
    for region in order[::-1]:
        if chosen_R[region] and chosen_R.sum() > 1:
            spared_R = chosen_R.copy()
            spared_R[region] = False
            if reached(read(spared_R[None]))[0]:
                chosen_R = spared_R
    (value,) = read(chosen_R[None])
    return {
        "regions": [int(region) for region in np.flatnonzero(chosen_R)],
        "area": float(game.regions.union(chosen_R).mean()),
        "value": float(value),
    }

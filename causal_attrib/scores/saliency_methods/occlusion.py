"""Occlusion: how much the target loses when one region is hidden (Zeiler and Fergus 2014, arXiv 1311.2901).

    effect_r = f(I) - f(I without region r)

in nats. Negative: the region speaks against the target.
"""

from __future__ import annotations

import numpy as np

from causal_attrib.scores.saliency_methods.hiding import Game, all_but_one


def occlusion(game: Game) -> np.ndarray:
    """The effect (M, R) of each region on each of the M functions."""
    values_NM = game.values(all_but_one(len(game.regions)))
    return (values_NM[0] - values_NM[1:]).T

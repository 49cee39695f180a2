"""Shapley values of regions: what each adds to the target, averaged over all orders in which regions could appear.

    phi_r = mean over orders of  f(those before r, and r) - f(those before r)       (Shapley 1953)

Estimated from random orders (Castro, Gomez and Tejada 2009, doi 10.1016/j.cor.2008.04.004), each walked forwards and
backwards (antithetic pairs; Mitchell et al. 2022, arXiv 2104.12199). In every order the effects add up to the value of
the whole picture less that of none of it, so the estimates do as well, however few the orders. A diffuse cause, which
no single region's absence shows, is found. captum has this for one function at a time; here one forward serves all
words of a caption.

Axes: S pairs of orders, R regions, M functions.
"""

from __future__ import annotations

import numpy as np

from causal_attrib.scores.saliency_methods.hiding import Game, ends


def shapley(game: Game, samples: int, seed: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Values (M, R), and their standard errors over pairs of orders (None for a single pair).

    Args:
        samples: S pairs of orders; each takes 2 (R - 1) forwards, and 2 are shared.
    """
    rng = np.random.default_rng(seed)
    count = len(game.regions)
    full_M, empty_M = ends(game)
    effect_SMR = []
    for _ in range(samples):
        order = rng.permutation(count)
        effect_SMR.append(np.mean([_walk(game, way, full_M, empty_M) for way in (order, order[::-1])], axis=0))
    error_MR = np.std(effect_SMR, axis=0, ddof=1) / np.sqrt(samples) if samples > 1 else None
    return np.mean(effect_SMR, axis=0), error_MR


def _walk(game: Game, order: np.ndarray, full_M: np.ndarray, empty_M: np.ndarray) -> np.ndarray:
    """What each region (M, R) adds where it appears in one order."""
    count = len(order)
    seen_NR = np.zeros((count - 1, count), dtype=bool)
    for step in range(count - 1):
        seen_NR[step:, order[step]] = True
    between_NM = game.values(seen_NR) if count > 1 else np.empty((0, len(full_M)))
    effect_MR = np.empty((len(full_M), count))
    effect_MR[:, order] = np.diff(np.vstack([empty_M, between_NM, full_M]), axis=0).T
    return effect_MR

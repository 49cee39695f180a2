"""Intervals that hold whenever drawing stops: of a mean, from draws that are looked at as they come.

An ordinary interval is wrong where one draws until it is narrow. A confidence sequence holds at all numbers of draws at
once, so that drawing may stop by any rule.
"""

from __future__ import annotations

import numpy as np

ALPHA = 0.05
# Means that are tried: the interval is wider by one step at either end, so that it errs on the safe side.
_STEPS = 200
_TRUNCATION = 0.5


def betting_interval(x_UK: np.ndarray, low: float, high: float, alpha: float = ALPHA) -> tuple[np.ndarray, np.ndarray]:
    """Bounds (U,) of the mean of each row's draws, which lie in [low, high]; NaN stands where nothing was drawn.

    The hedged capital process of Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting"
    (JRSS B 2024, arXiv 2010.09686), Theorem 3, with theta = 1/2, c = 1/2 and the predictable plug-in bets of its
    equation (26), of draws scaled to [0, 1]:

        K_t(m) = 1/2 max( prod_i (1 + lambda+_i(m) (X_i - m)), prod_i (1 - lambda-_i(m) (X_i - m)) )
        lambda+_i(m) = min(l_i, c / m),  lambda-_i(m) = min(l_i, c / (1 - m)),
        l_i = sqrt( 2 log(2 / alpha) / (v_{i-1} i log(i + 1)) ),
        v_i = (1/4 + sum_{j<=i} (X_j - mu_j)^2) / (i + 1),  mu_i = (1/2 + sum_{j<=i} X_j) / (i + 1)

    The mean is outside of { m : K_t(m) < 1 / alpha } for any t whatever with a probability of alpha at most. The
    interval is the intersection over all t so far.
    """
    units, draws = x_UK.shape
    x_UK = (x_UK - low) / (high - low)
    m_M = np.linspace(0.0, 1.0, _STEPS + 1)
    total, squares, variance = (np.full(units, start) for start in (0.5, 0.25, 0.25))
    up_UM, down_UM = np.zeros((2, units, len(m_M)))
    inside_UM = np.ones((units, len(m_M)), bool)
    with np.errstate(divide="ignore"):
        cap_up_M, cap_down_M = _TRUNCATION / m_M, _TRUNCATION / (1 - m_M)
    for i in range(1, draws + 1):
        x_U = x_UK[:, i - 1]
        drawn_U = ~np.isnan(x_U)
        bet_U1 = np.sqrt(2 * np.log(2 / alpha) / (variance * i * np.log(i + 1)))[:, None]
        off_UM = np.where(drawn_U, x_U, 0.0)[:, None] - m_M
        # In the place of a draw that was not made, nothing is staked.
        with np.errstate(divide="ignore"):
            up_UM += np.where(drawn_U[:, None], np.log1p(np.minimum(bet_U1, cap_up_M) * off_UM), 0.0)
            down_UM += np.where(drawn_U[:, None], np.log1p(-np.minimum(bet_U1, cap_down_M) * off_UM), 0.0)
        inside_UM &= np.maximum(up_UM, down_UM) - np.log(2) < -np.log(alpha)
        total = np.where(drawn_U, total + x_U, total)
        squares = np.where(drawn_U, squares + (x_U - total / (i + 1)) ** 2, squares)
        variance = np.where(drawn_U, squares / (i + 1), variance)
    some = inside_UM.any(1)
    first = np.where(some, inside_UM.argmax(1), 0)
    last = np.where(some, _STEPS - inside_UM[:, ::-1].argmax(1), _STEPS)
    bounds = (m_M[np.maximum(first - 1, 0)], m_M[np.minimum(last + 1, _STEPS)])
    return low + (high - low) * bounds[0], low + (high - low) * bounds[1]

"""Sufficiency and necessity in one number.

COPO (arXiv 2508.04182v2):  r_causal(o_t) = lambda_s * S_suff(o_t) + lambda_n * S_nec(o_t), both scores in [0, 1].
The paper leaves open how they get there; its worked example rules out min-max and (x + 1) / 2, so they are clipped.

This "causal completeness" is not the completeness axiom of Integrated Gradients (attributions that sum to the
difference of the outputs).
"""

from __future__ import annotations

import numpy as np


def causal_completeness(
    sufficiency_T: np.ndarray, necessity_T: np.ndarray, lambda_s: float = 0.35, lambda_n: float = 0.35
) -> np.ndarray:
    """lambda_s * clip(sufficiency, 0, 1) + lambda_n * clip(necessity, 0, 1): (T,), range [0, lambda_s + lambda_n].

    >>> causal_completeness(np.array([0.87, 0.2]), np.array([0.81, -0.5])).round(3).tolist()
    [0.588, 0.07]
    """
    return lambda_s * np.clip(sufficiency_T, 0.0, 1.0) + lambda_n * np.clip(necessity_T, 0.0, 1.0)

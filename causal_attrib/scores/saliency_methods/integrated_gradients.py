"""Integrated gradients along the straight line from a baseline (Sundararajan et al. 2017, arXiv 1703.01365, eq. 1).

    (v - b) * integral over a in [0, 1] of  d f / d v  at  b + a (v - b)

The values add up to f(v) - f(b): what the picture adds to the target. The integral is a Gauss-Legendre sum of `steps`
gradients.
"""

from __future__ import annotations

from torch import Tensor

from causal_attrib.scores.saliency_methods.inputs import Input


def integrated_gradients(given: Input, baseline_1X: Tensor, steps: int) -> list[Tensor]:
    """The integrated gradient (1, X) of each of the M functions."""
    # captum takes seconds to import, and most maps do without.
    from captum.attr import IntegratedGradients

    return [
        IntegratedGradients(lambda value_NX, m=m: given.scores(value_NX)[:, m])
        .attribute(given.value_1X, baseline_1X, n_steps=steps, internal_batch_size=given.reader.batch_size)
        .detach()
        for m in range(len(given.reader.target.parts))
    ]

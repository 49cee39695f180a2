"""SmoothGrad: the gradient averaged over noisy copies of the input (Smilkov et al. 2017, arXiv 1706.03825, eq. 1).

mean over k = 1..K of  d f / d v  at  v + N(0, sigma^2),   sigma = noise * (max v - min v)
"""

from __future__ import annotations

import torch
from torch import Tensor

from causal_attrib.scores.saliency_methods.inputs import Input


def smoothgrad(given: Input, samples: int, noise: float, seed: int) -> list[Tensor]:
    """The averaged gradient (1, X) of each of the M functions; all meet the same noise."""
    # captum takes seconds to import, and most maps do without.
    from captum.attr import NoiseTunnel, Saliency

    value_1X = given.value_1X
    spread = float(value_1X.max() - value_1X.min())
    found = []
    for m in range(len(given.reader.target.parts)):
        # A default argument, since the loop's variable goes on.
        method = NoiseTunnel(Saliency(lambda value_NX, m=m: given.scores(value_NX)[:, m]))
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            found.append(
                method.attribute(
                    value_1X,
                    nt_samples=samples,
                    nt_samples_batch_size=min(samples, given.reader.batch_size),
                    stdevs=noise * spread,
                    abs=False,
                ).detach()
            )
    return found

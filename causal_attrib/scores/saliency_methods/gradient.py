"""Gradients: how fast the target changes with each number of the input.

    gradient            d f / d v                    (Simonyan et al. 2014, arXiv 1312.6034)
    gradient x input    v * d f / d v                (Shrikumar et al. 2016, arXiv 1605.01713)

One forward serves all functions of the target; each takes a backward of its own.
"""

from __future__ import annotations

import torch
from torch import Tensor

from causal_attrib.scores.saliency_methods.inputs import Input


def gradient(given: Input) -> list[Tensor]:
    """The gradient (1, X) of each of the M functions at the user's picture."""
    value_1X = given.value_1X.detach().clone().requires_grad_()
    scores_M = given.scores(value_1X)[0]
    last = len(scores_M) - 1
    # The graph is let go with the last one.
    return [torch.autograd.grad(score, value_1X, retain_graph=m < last)[0] for m, score in enumerate(scores_M)]


def gradient_x_input(given: Input) -> list[Tensor]:
    """The gradient times the input itself; zero is the processor's mean colour, or a token that says nothing."""
    return [gradient_1X * given.value_1X for gradient_1X in gradient(given)]

"""Batch norms that are not trained keep what they learnt.

A trainer puts the whole model into training mode. A batch norm then goes by the mean and variance of the pictures that
happen to be in the batch, and moves its own towards them, even where its weights are frozen: the policy would be
sampled and trained on other features than it has afterwards.
"""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


def keep_frozen_norms(model: nn.Module) -> None:
    """Have the batch norms of a model that have no weight to be trained run as in eval mode from now on."""
    for module in model.modules():
        if isinstance(module, _BatchNorm) and not any(weight.requires_grad for weight in module.parameters()):
            module.register_forward_pre_hook(_as_learnt)


def keeps_what_it_learnt(norm: nn.Module) -> bool:
    """Whether `keep_frozen_norms` has been told of a batch norm."""
    return _as_learnt in norm._forward_pre_hooks.values()


def _as_learnt(norm: nn.Module, _: Any) -> None:
    norm.training = False

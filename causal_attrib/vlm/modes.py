"""Eval mode, or another attention kernel, for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn
from transformers import PreTrainedModel


@contextmanager
def eval_mode(model: nn.Module) -> Iterator[None]:
    """No dropout while the context lasts; then each module is in the mode that it was in."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


@contextmanager
def attention_kernel(model: PreTrainedModel, kernel: str) -> Iterator[None]:
    """Attention by `kernel` in every part while the context lasts; then each part has the one that it had.

    Parts may differ (GOT-OCR2 reads pictures by another kernel than words), so one name does not put them back.

    Raises:
        ValueError: transformers has no such kernel for the model.
    """
    # What a layer calls its config may be something else (Idefics).
    configs: list[Any] = [getattr(part, "config", None) for part in model.modules()]
    kept = [(config, config._attn_implementation) for config in configs if hasattr(config, "_attn_implementation")]
    try:
        model.set_attn_implementation(kernel)
        yield
    finally:
        for config, before in kept:
            config._attn_implementation = before

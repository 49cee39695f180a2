"""Adapters for vision-language models."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from peft import LoraConfig

# How transformers calls the part of a model that sees: vision_tower, vision_model, visual.
_SEEING = r".*(vision|visual).*"


def lora_config(rank: int = 16, alpha: int = 32, dropout: float = 0.0) -> LoraConfig:
    """LoRA (arXiv 2106.09685) on every linear layer but those of the vision tower and the head over the vocabulary.

    peft knows no default places for these models, and TRL takes none on the head. Dropout does not reach scores, which
    are taken without it.
    """
    from peft import LoraConfig

    return LoraConfig(
        r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules="all-linear", exclude_modules=_SEEING
    )

"""Which models TRL can train on pictures: those that read them among the words of a conversation."""

from __future__ import annotations

from causal_attrib.errors import InputError
from causal_attrib.vlm import VLM


def check_trainable(vlm: VLM) -> None:
    """Raises InputError for a model that TRL's trainers would fail on after the first sampling, or before it."""
    # Without the first its picture is no part of the row; mllama's stands beside the row, and TRL leaves out the rest.
    if not hasattr(vlm.model.config, "image_token_id") or vlm.model.config.model_type == "mllama":
        raise InputError(
            f"{vlm.name} ({vlm.model.config.model_type}) reads its picture apart from the text, which TRL does not "
            "train; take a model that reads image tokens among its words, such as LLaVA, SmolVLM or Qwen2.5-VL."
        )
    if getattr(vlm.processor, "chat_template", None) is None:
        raise InputError(
            f"{vlm.name} has no chat template, by which conversations are laid out for training; train a model that "
            "has one, such as LLaVA, SmolVLM or Qwen2.5-VL."
        )

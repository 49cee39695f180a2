"""The model in the package, built by name: the general way into transformers imports a compiler on its way."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file
from transformers import GenerationConfig, LlavaForConditionalGeneration, PreTrainedConfig

# Where weights of the file belong in the model.
_PLACES = (
    ("vision_tower.", "model.vision_tower."),
    ("multi_modal_projector.", "model.multi_modal_projector."),
    ("language_model.model.", "model.language_model."),
)


def build_bundled(
    folder: str, config: PreTrainedConfig, attn_implementation: str | None
) -> LlavaForConditionalGeneration:
    """What `from_pretrained` gives in float32 on the CPU.

    Raises:
        RuntimeError: the file holds other weights than the model of this config.
    """
    # Its first weights are drawn at random, which is nobody else's business.
    with torch.random.fork_rng(devices=[]):
        model = LlavaForConditionalGeneration._from_config(
            config, dtype=torch.float32, attn_implementation=attn_implementation
        )
    weights = {_place(name): weight for name, weight in load_file(str(Path(folder) / "model.safetensors")).items()}
    if config.tie_word_embeddings:
        weights["lm_head.weight"] = weights["model.language_model.embed_tokens.weight"]
    model.load_state_dict(weights)
    model.generation_config = GenerationConfig.from_pretrained(folder)
    return model.eval()


def _place(name: str) -> str:
    old, new = next((place for place in _PLACES if name.startswith(place[0])), ("", ""))
    return new + name.removeprefix(old)

"""Generation that knows nothing of a checkpoint's own wishes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from transformers import GenerationConfig

# Where texts begin and end, and what rows are filled up with: all of a checkpoint's settings that `generate` keeps.
_KEPT = ("bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id")


@contextmanager
def plain_generation(model: nn.Module) -> Iterator[None]:
    """While it lasts, `generate` of a model and of its parts follows no setting that its checkpoint came with.

    A checkpoint may ask for penalties, least lengths, time limits, watermarks, other ways of decoding and more; what is
    written is to be the likeliest by what is read. Arguments of `generate` could not undo them, since it fills up what
    is left open from the model's own settings.
    """
    own = {
        module: module.generation_config
        for module in model.modules()
        if isinstance(getattr(module, "generation_config", None), GenerationConfig)
    }
    for module, settings in own.items():
        vars(module)["generation_config"] = GenerationConfig(**{name: getattr(settings, name) for name in _KEPT})
    try:
        yield
    finally:
        for module, settings in own.items():
            module.generation_config = settings

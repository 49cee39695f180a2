"""Weights of a checkpoint back into a model whose parameters have other names than its files.

transformers writes the files of many vision-language models with the names that their first release had (such as
`language_model.model...` for `model.language_model...`), and translates them in `from_pretrained`. `Trainer` (5.23)
reads a checkpoint without that, warns of missing keys and goes on from the weights it began with.
"""

from __future__ import annotations

from pathlib import Path

from torch import nn
from transformers import PreTrainedModel, Trainer

from causal_attrib.training.trainers.checkpoints import check_kind


def restore(trainer: Trainer, checkpoint: str, model: nn.Module | None = None) -> bool:
    """Put the weights of a checkpoint into a model that is trained whole.

    Args:
        model: the model, if it is not the trainer's own.

    Returns:
        False for what `Trainer` reads rightly by itself, and which is left to it: adapters, and the files of FSDP.

    Raises:
        InputError: the checkpoint holds an adapter and a whole model is trained, or the other way round.
    """
    if trainer.is_fsdp_enabled:
        return False
    target = trainer.model if model is None else model
    check_kind(Path(checkpoint), full=isinstance(target, PreTrainedModel))
    if not isinstance(target, PreTrainedModel):
        return False
    saved = type(target).from_pretrained(checkpoint, dtype=target.dtype)
    target.load_state_dict(saved.state_dict())
    return True

"""Weights of a checkpoint back into a model whose parameters have other names than its files.

transformers writes the files of many vision-language models with the names that their first release had (such as
`language_model.model...` for `model.language_model...`), and translates them in `from_pretrained`. `Trainer` (5.23)
reads a checkpoint without that, warns of missing keys and goes on from the weights it began with.
"""

from __future__ import annotations

from pathlib import Path

from torch import nn
from transformers import PreTrainedModel

from causal_attrib.training.trainers.checkpoints import check_kind


class ResumeMixin:
    """Put it before a `transformers.Trainer`."""

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        if self.is_fsdp_enabled:  # which has files of its own
            super()._load_from_checkpoint(resume_from_checkpoint, model)
            return
        target = self.model if model is None else model
        whole = isinstance(target, PreTrainedModel)
        check_kind(Path(resume_from_checkpoint), full=whole)
        if whole:
            saved = type(target).from_pretrained(resume_from_checkpoint, dtype=target.dtype)
            target.load_state_dict(saved.state_dict())
        else:
            super()._load_from_checkpoint(resume_from_checkpoint, model)

"""Janus: a SigLIP tower for pictures that are read; the one it draws by is not used."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from transformers import GenerationMixin

from causal_attrib.vlm.families.llava import Llava


class Janus(Llava):
    """`JanusForConditionalGeneration` (arXiv 2410.13848)."""

    def generate(self, inputs: dict[str, Tensor], **options: Any) -> Tensor:
        # Its own `generate` drops the logits processors of a text.
        settings: dict[str, Any] = inputs | options
        return GenerationMixin.generate(self.model, **settings)[:, inputs[self.row].shape[1] :]

"""Kosmos-2 and 2.5: latents that see the whole picture stand where a mask says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn

from causal_attrib.vlm.families.base import Family


class Kosmos2(Family):
    """`Kosmos2ForConditionalGeneration` (arXiv 2306.14824), `Kosmos2_5ForConditionalGeneration` (arXiv 2309.11419).

    Their image tokens are latents and have no box.
    """

    default_prompt: ClassVar[str] = "An image of"
    per_token: ClassVar[dict[str, int]] = {"attention_mask": 1, "image_embeds_position_mask": 0}
    # The processor fills the image's place with ids that a tokenizer never gives out.
    image_ids = frozenset()

    # Its text model takes no mask of our own.
    packs: ClassVar[bool] = False

    def plain(self, prompt: str) -> str:
        return prompt

    @property
    def embedding(self) -> nn.Module:
        return self.model.text_model.get_input_embeddings()

    def image_positions(self, inputs: dict[str, Tensor]) -> Sequence[int]:
        # Kosmos-2.5 marks the tokens around them as -1.
        return (inputs["image_embeds_position_mask"][0] == 1).nonzero()[:, 0].tolist()

"""Florence-2: an encoder reads one pooled token, a grid of patches and the task; a decoder writes."""

from __future__ import annotations

import math
from typing import ClassVar

from torch import Tensor, nn

from causal_attrib.vlm.families.encoder_decoder import EncoderDecoder
from causal_attrib.vlm.layout import ImageLayout


class Florence2(EncoderDecoder):
    """`Florence2ForConditionalGeneration` (arXiv 2311.06242)."""

    # A task that the processor spells out as a question.
    default_prompt: ClassVar[str] = "<CAPTION>"

    def plain(self, prompt: str) -> str:
        return prompt

    @property
    def embedding(self) -> nn.Module:
        return self.model.model.language_model.get_decoder().embed_tokens

    def layout(self, inputs: dict[str, Tensor], size: tuple[int, int]) -> ImageLayout:
        positions = self.image_positions(inputs)
        side = math.isqrt(len(positions) - 1)
        # Its convolutions are centred on the first pixel of each step, so a patch looks half a step up and to the left
        # of where an undivided grid would put it.
        edges = [0.0, *((index + 0.5) / side for index in range(side - 1)), 1.0]
        boxes = tuple(
            (edges[column], edges[row], edges[column + 1], edges[row + 1])
            for row in range(side)
            for column in range(side)
        )
        return ImageLayout(tuple(positions), "encoder", (None, *boxes), (side, side))

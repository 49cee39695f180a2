"""Gemma 3: a SigLIP tower whose patches are averaged to a square of tokens."""

from __future__ import annotations

import math

from torch import Tensor

from causal_attrib.vlm.families.base import Family
from causal_attrib.vlm.layout import ImageLayout, one_grid, without_boxes


class Gemma3(Family):
    """`Gemma3ForConditionalGeneration` (arXiv 2503.19786)."""

    def plain(self, prompt: str) -> str:
        return f"{self.processor.boi_token}{prompt}\n"

    def layout(self, inputs: dict[str, Tensor], size: tuple[int, int]) -> ImageLayout:
        positions = self.image_positions(inputs)
        side = math.isqrt(self.config.mm_tokens_per_image)
        if len(positions) != side * side:
            # With pan and scan there are crops besides the whole picture; where they were cut is not handed on.
            return without_boxes(positions)
        return one_grid(positions, side, side)

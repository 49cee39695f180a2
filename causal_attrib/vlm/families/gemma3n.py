"""Gemma 3n: a MobileNet tower that gives one square of tokens for the whole picture."""

from __future__ import annotations

import math

from torch import Tensor

from causal_attrib.vlm.families.base import Family
from causal_attrib.vlm.layout import ImageLayout, one_grid


class Gemma3n(Family):
    """`Gemma3nForConditionalGeneration`."""

    def layout(self, inputs: dict[str, Tensor], size: tuple[int, int]) -> ImageLayout:
        side = math.isqrt(self.config.vision_soft_tokens_per_image)
        return one_grid(self.image_positions(inputs), side, side)

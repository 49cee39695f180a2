"""LLaVA with a CLIP or SigLIP tower: one grid of patches over the part of the picture that the processor shows."""

from __future__ import annotations

from torch import Tensor

from causal_attrib.vlm.families.base import Family
from causal_attrib.vlm.layout import ImageLayout, one_grid, shown


class Llava(Family):
    """`LlavaForConditionalGeneration` (arXiv 2304.08485)."""

    def layout(self, inputs: dict[str, Tensor], size: tuple[int, int]) -> ImageLayout:
        vision = self.config.vision_config
        side = vision.image_size // vision.patch_size
        positions = self.image_positions(inputs)
        # With the strategy "full" a CLIP tower's class token comes along.
        leading = len(positions) - side * side
        return one_grid(positions, side, side, region=shown(self.processor.image_processor, size), leading=leading)

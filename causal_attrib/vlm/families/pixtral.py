"""Pixtral's tower, in Mistral 3 and LLaVA: patches of the picture at its own shape, merged, a break behind each row."""

from __future__ import annotations

from torch import Tensor

from causal_attrib.vlm.families.base import Family
from causal_attrib.vlm.layout import ImageLayout, one_grid


class Pixtral(Family):
    """`Mistral3ForConditionalGeneration`, `LlavaForConditionalGeneration` with its tower (arXiv 2410.07073)."""

    def layout(self, inputs: dict[str, Tensor], size: tuple[int, int]) -> ImageLayout:
        # The break and end tokens have ids of their own, so only tokens with a box are counted here.
        merge = getattr(self.config, "spatial_merge_size", 1)
        height, width = inputs["image_sizes"][0].tolist()
        step = self.config.vision_config.patch_size * merge
        return one_grid(self.image_positions(inputs), height // step, width // step)

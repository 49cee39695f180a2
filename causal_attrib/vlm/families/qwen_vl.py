"""Qwen-VL and those that took its positions over: patches of the picture at its own shape, merged by twos."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from causal_attrib.vlm.families.generic import Generic
from causal_attrib.vlm.layout import ImageLayout, one_grid
from causal_attrib.vlm.prefix_cache import PrefixCache


class MRope(Generic):
    """Positions in three rows (time, height, width), of which a picture takes fewer than it has tokens.

    `Glm4vForConditionalGeneration` (arXiv 2507.01006) and its kin, `Ernie4_5_VLMoeForConditionalGeneration`,
    `PaddleOCRVLForConditionalGeneration`, the thinkers of Qwen-Omni,
    `CohereCompassForConditionalGeneration`.
    """

    keeps_apart: ClassVar[bool] = True

    def prefill(self, inputs: dict[str, Tensor], count: int = 1) -> PrefixCache:
        prefix = super().prefill(inputs, count)
        # A picture takes fewer positions than tokens. The difference is kept in the module and would be that of another
        # picture later, so positions are always given.
        prefix.shift(int(self.model.model.rope_deltas[0, 0]))
        return prefix

    def _position_ids(self, position_Q: Tensor) -> Tensor:
        # Rows for time, height and width, which are alike for words.
        return position_Q.expand(3, 1, -1)

    def planes(self, pixels: Tensor, inputs: dict[str, Tensor]) -> Tensor:
        # Flat patches (patches, C * time * side * side), in blocks of merged ones; a still is shown at two times.
        _, rows, columns = inputs["image_grid_thw"][0].tolist()
        vision = self.config.vision_config
        merge, side, times = vision.spatial_merge_size, vision.patch_size, getattr(vision, "temporal_patch_size", 1)
        blocks = pixels.reshape(rows // merge, columns // merge, merge, merge, -1, times, side, side)
        return blocks.permute(5, 4, 0, 2, 6, 1, 3, 7).reshape(times, -1, rows * side, columns * side)

    def layout(self, inputs: dict[str, Tensor], size: tuple[int, int]) -> ImageLayout:
        _, height, width = inputs["image_grid_thw"][0].tolist()
        merge = self.config.vision_config.spatial_merge_size
        return one_grid(self.image_positions(inputs), height // merge, width // merge)


class QwenVL(MRope):
    """`Qwen2VLForConditionalGeneration` (arXiv 2409.12191) and its successors."""

    def plain(self, prompt: str) -> str:
        return f"<|vision_start|>{self.processor.image_token}<|vision_end|>{prompt}\n"

"""Gemma 4: patches of a picture in its own proportions, averaged over small squares."""

from __future__ import annotations

from torch import Tensor

from causal_attrib.vlm.families.base import Family
from causal_attrib.vlm.layout import ImageLayout, one_grid


class Gemma4(Family):
    """`Gemma4ForConditionalGeneration`."""

    def layout(self, inputs: dict[str, Tensor], size: tuple[int, int]) -> ImageLayout:
        pooled = self.config.vision_config.pooling_kernel_size
        # Patches are counted from 0, and padding is -1.
        columns, rows = (inputs["image_position_ids"][0].amax(0) + 1).div(pooled, rounding_mode="floor").tolist()
        return one_grid(self.image_positions(inputs), rows, columns)

    def planes(self, pixels: Tensor, inputs: dict[str, Tensor]) -> Tensor:
        """The rows of patches are put together to the picture again."""
        column_N, row_N = inputs["image_position_ids"][0].T
        columns, rows = int(column_N.max()) + 1, int(row_N.max()) + 1
        side = self.config.vision_config.patch_size
        patches_NHWC = pixels[0, : rows * columns].reshape(rows, columns, side, side, -1)
        return patches_NHWC.permute(4, 0, 2, 1, 3).reshape(1, -1, rows * side, columns * side)

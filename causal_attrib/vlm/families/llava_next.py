"""LLaVA-NeXT: the picture once as a whole, then in tiles joined to one large grid with a newline behind each row."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from transformers.image_processing_utils import get_patch_output_size, select_best_resolution
from transformers.image_utils import ChannelDimension
from transformers.models.llava_next.modeling_llava_next import unpad_image

from causal_attrib.vlm.families.base import Family
from causal_attrib.vlm.layout import Box, ImageLayout, grid_boxes


class LlavaNext(Family):
    """`LlavaNextForConditionalGeneration` (LLaVA 1.6)."""

    def layout(self, inputs: dict[str, Tensor], size: tuple[int, int]) -> ImageLayout:
        positions = self.image_positions(inputs)
        vision = self.config.vision_config
        side = vision.image_size // vision.patch_size
        # The whole picture is squeezed into one tile.
        boxes = list(grid_boxes(side, side))
        rows, columns, region = self._joined(inputs["image_sizes"][0].tolist(), side)
        joined = grid_boxes(rows, columns, region)
        for row in range(rows):
            boxes += [*joined[row * columns : (row + 1) * columns], None]
        return ImageLayout(tuple(positions), "prompt", tuple(boxes))

    def _joined(self, size: list[int], side: int) -> tuple[int, int, Box]:
        """Rows and columns of the joined tiles, and the region of the picture they cover; `size` is (height, width).

        The picture is fitted into a canvas of tiles and lies in its middle. The model cuts the margins off again, but
        by whole patches, so that some margin is left or some of the picture lost.
        """
        canvas = select_best_resolution((size[0], size[1]), self.config.image_grid_pinpoints)
        fitted = get_patch_output_size(np.empty((3, *size)), canvas, ChannelDimension.FIRST)
        patch = self.config.vision_config.image_size / side
        row_HW, column_HW = torch.meshgrid(*(torch.arange(round(length / patch)) for length in canvas), indexing="ij")
        kept_2HW = unpad_image(torch.stack([row_HW, column_HW]), size)
        edges = []
        for kept_HW, inside, whole in zip(kept_2HW, fitted, canvas, strict=True):
            margin = (whole - inside) // 2
            first, last = kept_HW.min().item(), kept_HW.max().item()
            edges.append(((first * patch - margin) / inside, ((last + 1) * patch - margin) / inside))
        (top, bottom), (left, right) = edges
        return *kept_2HW.shape[1:], (left, top, right, bottom)

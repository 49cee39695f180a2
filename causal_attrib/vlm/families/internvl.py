"""InternVL: the picture in tiles, then once as a whole; every tile is a square of shuffled patches."""

from __future__ import annotations

import math

from torch import Tensor
from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import get_optimal_tiled_canvas

from causal_attrib.vlm.families.base import Family
from causal_attrib.vlm.layout import WHOLE_PICTURE, ImageLayout, grid_boxes, one_grid, part


class InternVL(Family):
    """`InternVLForConditionalGeneration` (arXiv 2504.10479)."""

    def layout(self, inputs: dict[str, Tensor], size: tuple[int, int]) -> ImageLayout:
        positions = self.image_positions(inputs)
        per_tile = self.processor.image_seq_length
        side = math.isqrt(per_tile)
        if len(positions) == per_tile:
            return one_grid(positions, side, side)
        images = self.processor.image_processor
        columns, rows = get_optimal_tiled_canvas(
            (size[1], size[0]), (images.size["height"], images.size["width"]), images.min_patches, images.max_patches
        )
        tiles = [part(WHOLE_PICTURE, row, rows, column, columns) for row in range(rows) for column in range(columns)]
        boxes = [box for region in (*tiles, WHOLE_PICTURE) for box in grid_boxes(side, side, region)]
        return ImageLayout(tuple(positions), "prompt", tuple(boxes))

"""Idefics 3 and SmolVLM: the picture in tiles, then once as a whole; every tile is a square of shuffled patches."""

from __future__ import annotations

import math
import re

from torch import Tensor

from causal_attrib.vlm.families.base import Family
from causal_attrib.vlm.image_hook import ImageHook
from causal_attrib.vlm.layout import WHOLE_PICTURE, Box, ImageLayout, grid_boxes, one_grid, part

TILE = re.compile(r"<row_(\d+)_col_(\d+)>")


class Idefics3(Family):
    """`Idefics3ForConditionalGeneration` (arXiv 2408.12637) and `SmolVLMForConditionalGeneration`."""

    @property
    def image_hook(self) -> ImageHook:
        return ImageHook(self.model.model.text_model, "inputs_embeds")

    def layout(self, inputs: dict[str, Tensor], size: tuple[int, int]) -> ImageLayout:
        positions = self.image_positions(inputs)
        per_tile = self.processor.image_seq_len
        side = math.isqrt(per_tile)
        count = len(positions) // per_tile
        if count == 1:
            return one_grid(positions, side, side)
        # The prompt names the row and column of each tile; the whole picture comes last and has no such name.
        ids = inputs["input_ids"][0].tolist()
        named = TILE.findall(self.processor.tokenizer.decode(ids))
        rows, columns = (max(map(int, numbers)) for numbers in zip(*named, strict=True))
        boxes: list[Box | None] = []
        for row, column in named:
            boxes += grid_boxes(side, side, part(WHOLE_PICTURE, int(row) - 1, rows, int(column) - 1, columns))
        boxes += grid_boxes(side, side)
        return ImageLayout(tuple(positions), "prompt", tuple(boxes))

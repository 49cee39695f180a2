"""HunYuan-VL: patches of the picture at its own shape, merged, a newline behind each row and a mark at either end."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor
from transformers import PreTrainedModel

from causal_attrib.vlm.families.generic import Generic
from causal_attrib.vlm.layout import Box, ImageLayout, grid_boxes


class HunYuanVL(Generic):
    """`HunYuanVLForConditionalGeneration`."""

    keeps_apart: ClassVar[bool] = True

    def __init__(self, model: PreTrainedModel, processor: Any):
        super().__init__(model, processor)
        _number_pictures_row_by_row(self.model.model)

    def layout(self, inputs: dict[str, Tensor], size: tuple[int, int]) -> ImageLayout:
        _, height, width = inputs["image_grid_thw"][0].tolist()
        merge = self.config.vision_config.spatial_merge_size
        rows, columns = height // merge, width // merge
        grid = grid_boxes(rows, columns)
        boxes: list[Box | None] = []
        for row in range(rows):
            boxes += [*grid[row * columns : (row + 1) * columns], None]
        positions = self.image_positions(inputs)
        if len(positions) == len(boxes) + 2:
            boxes = [None, *boxes, None]
        return ImageLayout(tuple(positions), "prompt", tuple(boxes), (rows, columns))


def _number_pictures_row_by_row(model: Any) -> None:
    """Mend the positions of a batch: transformers numbers its pictures through, so that each row was read otherwise."""
    of_a_batch = model.get_rope_index

    def get_rope_index(
        input_ids: Tensor,
        mm_token_type_ids: Tensor,
        image_grid_thw: Tensor | None = None,
        attention_mask: Tensor | None = None,
        **more: Any,
    ) -> tuple[Tensor, Tensor]:
        rows = len(input_ids)
        if rows == 1 or image_grid_thw is None or len(image_grid_thw) != rows:
            return of_a_batch(input_ids, mm_token_type_ids, image_grid_thw, attention_mask, **more)
        positions, deltas = zip(
            *(
                of_a_batch(
                    input_ids[[row]],
                    mm_token_type_ids[[row]],
                    image_grid_thw[[row]],
                    None if attention_mask is None else attention_mask[[row]],
                    **more,
                )
                for row in range(rows)
            ),
            strict=True,
        )
        return torch.cat(positions, dim=1), torch.cat(deltas)

    model.get_rope_index = get_rope_index

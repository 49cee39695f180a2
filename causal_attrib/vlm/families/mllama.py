"""Llama 3.2 Vision: the picture in tiles, looked at by cross-attention from a single placeholder on."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from transformers.models.mllama.image_processing_pil_mllama import (
    get_image_size_fit_to_canvas,
    get_optimal_tiled_canvas,
)

from causal_attrib.vlm.families.base import AttentionMask, Family
from causal_attrib.vlm.image_hook import ImageHook
from causal_attrib.vlm.layout import ImageLayout, grid_boxes, part
from causal_attrib.vlm.prefix_cache import PrefixCache


class Mllama(Family):
    """`MllamaForConditionalGeneration` (arXiv 2407.21783)."""

    def extend(self, inputs: dict[str, Tensor], continuations: list[tuple[int, ...]], pad_id: int) -> dict[str, Tensor]:
        batch = super().extend(inputs, continuations, pad_id)
        # What the last word of the prompt sees of the picture (B, L, images, tiles), the response sees too.
        seen = batch["cross_attention_mask"]
        longer = batch[self.row].shape[1] - seen.shape[1]
        batch["cross_attention_mask"] = torch.cat([seen, seen[:, -1:].repeat(1, longer, 1, 1)], dim=1)
        return batch

    def prefill(self, inputs: dict[str, Tensor], count: int = 1) -> PrefixCache:
        prefix = super().prefill(inputs, count)
        prefix.shared["cross_attention_mask"] = inputs["cross_attention_mask"][:, -1:]
        return prefix

    def _step(
        self, prefix: PrefixCache, embedded_BQD: Tensor, position_Q: Tensor, mask: AttentionMask, wanted_N: Tensor
    ) -> Tensor:
        seen = prefix.shared["cross_attention_mask"]
        each = replace(prefix, shared={"cross_attention_mask": seen.expand(-1, embedded_BQD.shape[1], -1, -1)})
        return super()._step(each, embedded_BQD, position_Q, mask, wanted_N)

    def cut(self, prefix: PrefixCache, count: int) -> None:
        # The layers that look at the picture hold no words.
        pictures = self.config.text_config.cross_attention_layers
        for index, layer in enumerate(prefix.cache.layers):
            if index not in pictures:
                layer.crop(-count)
        prefix.key_position_K = prefix.key_position_K[: len(prefix.key_position_K) - count]

    @property
    def image_hook(self) -> ImageHook:
        return ImageHook(
            self.model.model.language_model, "cross_attention_states", self.config.vision_config.max_num_tiles
        )

    def layout(self, inputs: dict[str, Tensor], size: tuple[int, int]) -> ImageLayout:
        vision = self.config.vision_config
        side = vision.image_size // vision.patch_size
        width, height = size
        tile_size = vision.image_size
        canvas_height, canvas_width = get_optimal_tiled_canvas(height, width, vision.max_num_tiles, tile_size)
        fitted_height, fitted_width = get_image_size_fit_to_canvas(
            height, width, canvas_height, canvas_width, tile_size
        )
        rows, columns = canvas_height // tile_size, canvas_width // tile_size
        # The picture lies in the upper left of the canvas.
        canvas = (0.0, 0.0, float(canvas_width / fitted_width), float(canvas_height / fitted_height))
        boxes: list = []
        for tile in range(vision.max_num_tiles):
            boxes.append(None)  # the tile's class token
            if tile < rows * columns:
                boxes += grid_boxes(side, side, part(canvas, tile // columns, rows, tile % columns, columns))
            else:
                boxes += [None] * side * side
        return ImageLayout(tuple(range(len(boxes))), "encoder", tuple(boxes))

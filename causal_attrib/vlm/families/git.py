"""GIT: vision states stand before the words, without placeholders."""

from __future__ import annotations

from typing import ClassVar

import torch
from PIL import Image
from torch import Tensor

from causal_attrib.vlm.families.base import Family
from causal_attrib.vlm.image_hook import ImageHook
from causal_attrib.vlm.layout import ImageLayout, one_grid, shown
from causal_attrib.vlm.prefix_cache import PrefixCache


class Git(Family):
    """`GitForCausalLM` (arXiv 2205.14100)."""

    # It was trained to go on with a caption, not to be asked for one.
    default_prompt: ClassVar[str] = ""
    image_ids = frozenset()

    def plain(self, prompt: str) -> str:
        return prompt

    def prompt_inputs(self, text: str, picture: Image.Image | list[Image.Image]) -> dict[str, Tensor]:
        tokenizer = self.processor.tokenizer
        words = tokenizer(text, add_special_tokens=False)["input_ids"]
        # The text goes on, so [CLS] opens it and no [SEP] closes it.
        row = torch.tensor([[tokenizer.cls_token_id, *words]])
        pixels = self.processor.image_processor(picture, return_tensors="pt")["pixel_values"]
        return {"pixel_values": pixels, "input_ids": row, "attention_mask": torch.ones_like(row)}

    def prefill(self, inputs: dict[str, Tensor], count: int = 1) -> PrefixCache:
        prefix = super().prefill(inputs, count)
        # Positions count words only; the vision states stand before them.
        prefix.shift(inputs["input_ids"].shape[1] - prefix.first)
        return prefix

    @property
    def image_hook(self) -> ImageHook:
        return ImageHook(self.model.git.encoder, 0)

    def layout(self, inputs: dict[str, Tensor], size: tuple[int, int]) -> ImageLayout:
        vision = self.config.vision_config
        side = vision.image_size // vision.patch_size
        region = shown(self.processor.image_processor, size)
        return one_grid(range(1 + side * side), side, side, sequence="before the prompt", region=region, leading=1)

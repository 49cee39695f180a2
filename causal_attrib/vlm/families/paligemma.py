"""PaliGemma: picture and prompt see one another both ways, the response is causal."""

from __future__ import annotations

import math
from typing import ClassVar

from PIL import Image
from torch import Tensor

from causal_attrib.vlm.families.base import Family
from causal_attrib.vlm.layout import ImageLayout, one_grid
from causal_attrib.vlm.prefix_cache import PrefixCache


class PaliGemma(Family):
    """`PaliGemmaForConditionalGeneration` (arXiv 2407.07726)."""

    default_prompt: ClassVar[str] = "caption en"
    # Type 0 is the prefix, which is attended both ways; a response token of type 0 would be seen by those before it.
    per_token: ClassVar[dict[str, int]] = {"attention_mask": 1, "token_type_ids": 1}

    def prompt_inputs(self, text: str, picture: Image.Image | list[Image.Image]) -> dict[str, Tensor]:
        # The processor puts in the begin-of-sequence token and the newline itself.
        inputs = super().prompt_inputs(text.removesuffix("\n"), picture)
        inputs.pop("labels", None)
        return inputs

    def prefill(self, inputs: dict[str, Tensor], count: int = 1) -> PrefixCache:
        prefix = super().prefill(inputs, count)
        prefix.shift(1)  # it counts positions from 1
        return prefix

    def layout(self, inputs: dict[str, Tensor], size: tuple[int, int]) -> ImageLayout:
        positions = self.image_positions(inputs)
        side = math.isqrt(len(positions))
        return one_grid(positions, side, side)

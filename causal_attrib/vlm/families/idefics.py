"""Idefics: words look at the picture by cross-attention, from the place where it is named."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from causal_attrib.vlm.families.base import AttentionMask, Family
from causal_attrib.vlm.image_hook import ImageHook
from causal_attrib.vlm.layout import ImageLayout, one_grid, without_boxes
from causal_attrib.vlm.prefix_cache import PrefixCache


class Idefics(Family):
    """`IdeficsForVisionText2Text` (arXiv 2306.16527)."""

    def plain(self, prompt: str) -> str:
        # The processor names the picture in front.
        return f"{prompt}\n"

    @property
    def image_ids(self) -> frozenset[int]:
        return frozenset({self.processor.image_token_id})

    def prefill(self, inputs: dict[str, Tensor], count: int = 1) -> PrefixCache:
        pixels_NCHW = inputs["pixel_values"][0]
        seen = self.model.model.vision_model(pixel_values=pixels_NCHW).last_hidden_state[None]
        given = {name: value for name, value in inputs.items() if name != "pixel_values"}
        prefix = super().prefill(given | {"image_encoder_embeddings": seen}, count)
        prefix.shared |= {
            "image_encoder_embeddings": seen,
            # What the last word of the prompt sees of the picture, the response sees too.
            "image_attention_mask": inputs["image_attention_mask"][:, -1:],
        }
        return prefix

    def _step(
        self, prefix: PrefixCache, embedded_BQD: Tensor, position_Q: Tensor, mask: AttentionMask, wanted_N: Tensor
    ) -> Tensor:
        seen = prefix.shared["image_attention_mask"].expand(-1, embedded_BQD.shape[1], -1)
        each = replace(prefix, shared=prefix.shared | {"image_attention_mask": seen})
        return super()._step(each, embedded_BQD, position_Q, mask, wanted_N)

    @property
    def joins(self) -> bool:
        # Each prefix looks at a picture of its own.
        return False

    @property
    def image_hook(self) -> ImageHook | None:
        return None

    def layout(self, inputs: dict[str, Tensor], size: tuple[int, int]) -> ImageLayout:
        if self.config.use_resampler:
            return without_boxes(range(self.config.perceiver_config.resampler_n_latents), "encoder")
        vision = self.config.vision_config
        side = vision.image_size // vision.patch_size
        return one_grid(range(1 + side * side), side, side, sequence="encoder", leading=1)

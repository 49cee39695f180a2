"""Encoder-decoders: the prompt is read by an encoder, the response stands in a decoder's own row."""

from __future__ import annotations

from typing import ClassVar

import torch
from PIL import Image
from torch import Tensor

from causal_attrib.vlm.families.base import Family
from causal_attrib.vlm.layout import ImageLayout, without_boxes


class EncoderDecoder(Family):
    """A decoder whose row begins with a start token and holds nothing else before the response."""

    row: ClassVar[str] = "decoder_input_ids"
    per_token: ClassVar[dict[str, int]] = {"decoder_attention_mask": 1}

    def lead(self, before: str) -> str:
        return ""

    @property
    def start_ids(self) -> list[int]:
        """Ids at the beginning of every decoder row."""
        generation = self.model.generation_config
        starts = [generation.decoder_start_token_id, self.config.get_text_config(decoder=True).decoder_start_token_id]
        start = next(token for token in starts if token is not None)
        # BART-like models are made to write this before anything else.
        return [start] if generation.forced_bos_token_id is None else [start, generation.forced_bos_token_id]

    def prompt_inputs(self, text: str, picture: Image.Image) -> dict[str, Tensor]:
        inputs = super().prompt_inputs(text, picture)
        inputs["decoder_input_ids"] = torch.tensor([self.start_ids])
        inputs["decoder_attention_mask"] = torch.ones_like(inputs["decoder_input_ids"])
        return inputs

    def layout(self, inputs: dict[str, Tensor], size: tuple[int, int]) -> ImageLayout:
        return without_boxes(self.image_positions(inputs), "encoder")

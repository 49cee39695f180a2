"""Encoder-decoders: the prompt is read by an encoder, the response stands in a decoder's own row."""

from __future__ import annotations

from typing import ClassVar

import torch
from PIL import Image
from torch import Tensor

from causal_attrib.errors import InputError
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
        # Not every config of a text model has the attribute, and some models name the token in one of these only.
        places = (generation, self.config.get_text_config(decoder=True), self.config)
        starts = [getattr(place, "decoder_start_token_id", None) for place in places]
        start = next((token for token in (*starts, generation.bos_token_id) if token is not None), None)
        if start is None:
            raise InputError(
                f"Nothing in this {self.config.model_type} model says which token a response starts with; set "
                f"decoder_start_token_id in its generation_config.json."
            )
        # BART-like models are made to write this before anything else.
        return [start] if generation.forced_bos_token_id is None else [start, generation.forced_bos_token_id]

    def prompt_inputs(self, text: str, picture: Image.Image | list[Image.Image]) -> dict[str, Tensor]:
        inputs = super().prompt_inputs(text, picture)
        inputs["decoder_input_ids"] = torch.tensor([self.start_ids])
        inputs["decoder_attention_mask"] = torch.ones_like(inputs["decoder_input_ids"])
        return inputs

    def layout(self, inputs: dict[str, Tensor], size: tuple[int, int]) -> ImageLayout:
        return without_boxes(self.image_positions(inputs), "encoder")

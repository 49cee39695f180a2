"""Any image encoder with any text decoder, such as ViT with GPT-2: the decoder looks by cross-attention."""

from __future__ import annotations

from typing import ClassVar

import torch
from PIL import Image
from torch import Tensor, nn

from causal_attrib.vlm.families.base import AttentionMask
from causal_attrib.vlm.families.encoder_decoder import EncoderDecoder
from causal_attrib.vlm.image_hook import ImageHook
from causal_attrib.vlm.layout import ImageLayout, one_grid, shown, without_boxes
from causal_attrib.vlm.prefix_cache import PrefixCache, cache_argument, cut_words, new_cross_cache


class VisionEncoderDecoder(EncoderDecoder):
    """`VisionEncoderDecoderModel` (arXiv 2109.10282)."""

    # A captioner without a text encoder cannot be asked; a prompt is what its text begins with.
    default_prompt: ClassVar[str] = ""
    image_ids = frozenset()

    def plain(self, prompt: str) -> str:
        return prompt

    def lead(self, before: str) -> str:
        return before

    @property
    def start_ids(self) -> list[int]:
        starts = (self.model.generation_config.decoder_start_token_id, self.config.decoder_start_token_id)
        return [next(token for token in starts if token is not None)]

    def prompt_inputs(self, text: str, picture: Image.Image | list[Image.Image]) -> dict[str, Tensor]:
        pixels = self.processor.image_processor(picture, return_tensors="pt")["pixel_values"]
        words = self.processor.tokenizer(text, add_special_tokens=False)["input_ids"]
        row = torch.tensor([self.start_ids + words])
        return {"pixel_values": pixels, "decoder_input_ids": row, "decoder_attention_mask": torch.ones_like(row)}

    @property
    def embedding(self) -> nn.Module:
        return self.model.decoder.get_input_embeddings()

    def prefill(self, inputs: dict[str, Tensor], count: int = 1) -> PrefixCache:
        cache = new_cross_cache()
        output = self.model(**inputs, use_cache=True, **cache_argument(self.model, cache))
        return self._prefix(cache, output.logits, count, encoder_outputs=(output.encoder_last_hidden_state,))

    def _step(
        self, prefix: PrefixCache, embedded_BQD: Tensor, position_Q: Tensor, mask: AttentionMask, wanted_N: Tensor
    ) -> Tensor:
        output = self.model(
            decoder_inputs_embeds=embedded_BQD,
            decoder_position_ids=position_Q[None],
            decoder_attention_mask=mask,
            use_cache=True,
            **cache_argument(self.model, prefix.cache),
            **prefix.shared,
        )
        return output.logits[0, wanted_N]

    def cut(self, prefix: PrefixCache, count: int) -> None:
        cut_words(prefix, count)

    @property
    def image_hook(self) -> ImageHook:
        return ImageHook(self.model.decoder, "encoder_hidden_states")

    def layout(self, inputs: dict[str, Tensor], size: tuple[int, int]) -> ImageLayout:
        encoder = self.config.encoder
        if encoder.model_type not in ("vit", "deit"):
            return without_boxes((), "encoder")
        side = encoder.image_size // encoder.patch_size
        # DeiT has a distillation token beside the class token.
        leading = 2 if encoder.model_type == "deit" else 1
        region = shown(self.processor.image_processor, size)
        return one_grid(range(leading + side * side), side, side, sequence="encoder", region=region, leading=leading)

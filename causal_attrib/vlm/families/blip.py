"""BLIP: a captioner whose text decoder looks at the picture by cross-attention."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from PIL import Image
from torch import Tensor, nn

from causal_attrib.vlm.families.base import Family
from causal_attrib.vlm.image_hook import ImageHook
from causal_attrib.vlm.layout import ImageLayout, one_grid
from causal_attrib.vlm.prefix_cache import PrefixCache, cache_argument, cut_words, new_cross_cache


class Blip(Family):
    """`BlipForConditionalGeneration` (arXiv 2201.12086)."""

    # It was trained to go on with a caption, not to be asked for one.
    default_prompt: ClassVar[str] = ""
    image_ids = frozenset()

    def plain(self, prompt: str) -> str:
        return prompt

    def prompt_inputs(self, text: str, picture: Image.Image | list[Image.Image]) -> dict[str, Tensor]:
        inputs = super().prompt_inputs(text, picture)
        # The tokenizer closes every text with [SEP]; here the text goes on. A caption starts with [DEC].
        for name in ("input_ids", "attention_mask"):
            inputs[name] = inputs[name][:, :-1]
        inputs["input_ids"][:, 0] = self.config.text_config.bos_token_id
        return inputs

    def generate(self, inputs: dict[str, Tensor], **options: Any) -> Tensor:
        # Its `generate` takes texts with a closing [SEP] and cuts that off.
        closed = {
            name: torch.cat([inputs[name], inputs[name][:, -1:]], dim=1) for name in ("input_ids", "attention_mask")
        }
        options.pop("pad_token_id")
        return self.model.generate(**inputs | closed, **options)[:, inputs["input_ids"].shape[1] :]

    def prefill(self, inputs: dict[str, Tensor], count: int = 1) -> PrefixCache:
        seen = self.model.vision_model(pixel_values=inputs["pixel_values"]).last_hidden_state
        cache, words = new_cross_cache(), {name: inputs[name] for name in ("input_ids", "attention_mask")}
        output = self.decoder(
            **words, encoder_hidden_states=seen, use_cache=True, **cache_argument(self.decoder, cache)
        )
        return self._prefix(cache, output.logits, count, encoder_hidden_states=seen)

    @property
    def decoder(self) -> nn.Module:
        return self.model.text_decoder

    def cut(self, prefix: PrefixCache, count: int) -> None:
        cut_words(prefix, count)

    @property
    def embedding(self) -> nn.Module:
        return self.model.text_decoder.get_input_embeddings()

    @property
    def end_ids(self) -> set[int]:
        return {self.config.text_config.sep_token_id}

    @property
    def image_hook(self) -> ImageHook:
        return ImageHook(self.model.text_decoder, "encoder_hidden_states")

    def layout(self, inputs: dict[str, Tensor], size: tuple[int, int]) -> ImageLayout:
        vision = self.config.vision_config
        side = vision.image_size // vision.patch_size
        return one_grid(range(1 + side * side), side, side, sequence="encoder", leading=1)

"""Florence-2: an encoder reads one pooled token, a grid of patches and the task; a decoder writes."""

from __future__ import annotations

import math
from typing import ClassVar

from torch import Tensor, nn

from causal_attrib.vlm.families.base import AttentionMask
from causal_attrib.vlm.families.encoder_decoder import EncoderDecoder
from causal_attrib.vlm.image_hook import ImageHook
from causal_attrib.vlm.layout import ImageLayout
from causal_attrib.vlm.prefix_cache import PrefixCache, cache_argument, cut_words, new_cross_cache


class Florence2(EncoderDecoder):
    """`Florence2ForConditionalGeneration` (arXiv 2311.06242)."""

    # A task that the processor spells out as a question.
    default_prompt: ClassVar[str] = "<CAPTION>"

    def plain(self, prompt: str) -> str:
        return prompt

    @property
    def embedding(self) -> nn.Module:
        return self.model.model.language_model.get_decoder().embed_tokens

    def prefill(self, inputs: dict[str, Tensor], count: int = 1) -> PrefixCache:
        cache = new_cross_cache()
        output = self.model(**inputs, use_cache=True, **cache_argument(self.model, cache))
        return self._prefix(
            cache,
            output.logits,
            count,
            encoder_hidden_states=output.encoder_last_hidden_state,
            encoder_attention_mask=inputs["attention_mask"],
        )

    def _step(
        self, prefix: PrefixCache, embedded_BQD: Tensor, position_Q: Tensor, mask: AttentionMask, wanted_N: Tensor
    ) -> Tensor:
        decoder = self.model.model.language_model.get_decoder()

        def place(module: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
            # The decoder counts by index and swallows positions that it is given.
            return args, kwargs | {"position_ids": position_Q}

        hook = decoder.embed_positions.register_forward_pre_hook(place, with_kwargs=True)
        try:
            states_BQD = decoder(
                inputs_embeds=embedded_BQD,
                attention_mask=mask,
                use_cache=True,
                **cache_argument(decoder, prefix.cache),
                **prefix.shared,
            ).last_hidden_state
        finally:
            hook.remove()
        return self.model.lm_head(states_BQD[0, wanted_N])

    def cut(self, prefix: PrefixCache, count: int) -> None:
        cut_words(prefix, count)

    @property
    def image_hook(self) -> ImageHook:
        return ImageHook(self.model.model.language_model.encoder, "inputs_embeds")

    def layout(self, inputs: dict[str, Tensor], size: tuple[int, int]) -> ImageLayout:
        positions = self.image_positions(inputs)
        side = math.isqrt(len(positions) - 1)
        # Its convolutions are centred on the first pixel of each step, so a patch looks half a step up and to the left
        # of where an undivided grid would put it.
        edges = [0.0, *((index + 0.5) / side for index in range(side - 1)), 1.0]
        boxes = tuple(
            (edges[column], edges[row], edges[column + 1], edges[row + 1])
            for row in range(side)
            for column in range(side)
        )
        return ImageLayout(tuple(positions), "encoder", (None, *boxes), (side, side))

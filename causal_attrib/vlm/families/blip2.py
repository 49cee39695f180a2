"""BLIP-2 and InstructBLIP: learned queries look at the picture and stand before the words of a language model."""

from __future__ import annotations

from typing import ClassVar

from torch import nn

from causal_attrib.choices import DEFAULT_PROMPT
from causal_attrib.vlm.families.base import Family
from causal_attrib.vlm.families.encoder_decoder import EncoderDecoder


class Blip2(Family):
    """`Blip2ForConditionalGeneration` with OPT (arXiv 2301.12597), `InstructBlipForConditionalGeneration` with Llama.

    The image tokens are queries that each see the whole picture: they have no box.
    """

    @property
    def default_prompt(self) -> str:  # type: ignore[override]
        # BLIP-2 was trained to describe, and only InstructBLIP to be asked to.
        return "" if self.config.model_type == "blip-2" else DEFAULT_PROMPT

    def plain(self, prompt: str) -> str:
        # The processor puts the queries' placeholders in front.
        return prompt

    @property
    def decoder(self) -> nn.Module:
        # The model as a whole would want the picture with every step.
        return self.model.language_model


class Blip2Seq2Seq(EncoderDecoder, Blip2):
    """The same with T5: picture and prompt in the encoder, the response in the decoder."""

    # T5 has relative positions only.
    longest: ClassVar[None] = None
    # They are counted by index, so that branches beside one another would be far apart.
    packs: ClassVar[bool] = False

    @property
    def embedding(self) -> nn.Module:
        return self.model.language_model.get_decoder().embed_tokens

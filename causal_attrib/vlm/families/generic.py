"""Any other model that takes a picture and text and gives logits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn

from causal_attrib.vlm.families.base import Family
from causal_attrib.vlm.families.encoder_decoder import EncoderDecoder


class Generic(Family):
    """A model nothing is known of: a decoder whose placeholders, if it has any, are the config's `image_token_id`.

    What its image tokens stand for is not known either, so they have no boxes.
    """

    def plain(self, prompt: str) -> str:
        return f"{getattr(self.processor, 'image_token', None) or ''}{prompt}\n"

    @property
    def image_ids(self) -> frozenset[int]:
        token = getattr(self.config, "image_token_id", None)
        return frozenset() if token is None else frozenset({token})

    def image_positions(self, inputs: dict[str, Tensor]) -> Sequence[int]:
        return super().image_positions(inputs) if self.image_ids else ()


class GenericSeq2Seq(EncoderDecoder, Generic):
    """The same for an encoder-decoder."""

    # Which positions it counts, and how it could be told others, is not known.
    packs: ClassVar[bool] = False

    @property
    def embedding(self) -> nn.Module:
        return self.model.get_decoder().get_input_embeddings()

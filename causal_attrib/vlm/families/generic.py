"""Any other model that takes a picture and text and gives logits."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import ClassVar

import torch
from PIL import Image
from torch import Tensor, nn

from causal_attrib.vlm.families.base import Family
from causal_attrib.vlm.families.encoder_decoder import EncoderDecoder


class Generic(Family):
    """A model nothing is known of: a decoder whose placeholders, if it has any, are the config's `image_token_id`.

    What its image tokens stand for is not known either, so they have no boxes.
    """

    keeps_apart: ClassVar[bool] = False

    def plain(self, prompt: str) -> str:
        token = getattr(self.processor, "image_token", None)
        return f"{prompt}\n" if token is None or self._places_the_picture else f"{token}{prompt}\n"

    def prompt_inputs(self, text: str, picture: Image.Image | list[Image.Image]) -> dict[str, Tensor]:
        inputs = super().prompt_inputs(text, picture)
        if "mm_token_type_ids" in self._forward_parameters and "mm_token_type_ids" not in inputs and self.image_ids:
            # Some models want them and have a processor that gives them only where it is asked to.
            inputs["mm_token_type_ids"] = torch.isin(inputs["input_ids"], torch.tensor(sorted(self.image_ids))).long()
        return inputs

    @functools.cached_property
    def _places_the_picture(self) -> bool:
        """Whether the processor puts the picture's place into a text that has none, so that ours would be a second."""
        try:
            inputs = self.prompt_inputs("a", Image.new("RGB", (224, 224)))
        except (ValueError, ArithmeticError, LookupError, TypeError, RuntimeError):
            return False
        return bool(self.image_positions(inputs))

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

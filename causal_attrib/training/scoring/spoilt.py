"""A picture that is spoilt, and a conversation without its picture: what dependence on the picture is measured against.

    patches   squares of the picture blackened at random (VPPO, arXiv 2510.09285; PAPO, arXiv 2507.06448)
    blur      the picture blurred until no object is left in it (`vlm.reference_image`)
    colour    a picture of the model's neutral colour
    none      no picture: the same conversation as text alone (PGPO, arXiv 2604.01840)

Completions of one picture and prompt are held against one spoilt picture, so that all of them share one reading of it;
VPPO's code draws another for each completion.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import pad

from causal_attrib.errors import InputError, check_range
from causal_attrib.io.pictures import at_least_smallest
from causal_attrib.training.recipe.method import SPOILS
from causal_attrib.training.scoring.rollout import Rollout, chat_of, encode_prompt
from causal_attrib.vlm import VLM, Encoding
from causal_attrib.vlm.reference_image import reference_image


@dataclass(frozen=True)
class Spoil:
    """How a picture is spoilt.

    kind:  one of `SPOILS`
    patch: side of the squares in pixels of the picture as it came, 1 or more
    share: of the squares that are blackened, each by itself, from 0 to 1
    """

    kind: str = "patches"
    patch: int = 14
    share: float = 0.5

    def __post_init__(self) -> None:
        if self.kind not in SPOILS:
            raise InputError(f"A picture cannot be spoilt by {self.kind!r}; choose one of {', '.join(SPOILS)}.")
        check_range("The side of a patch", self.patch, 1)
        check_range("The share of patches that are blackened", self.share, 0, 1)


def spoil_picture(
    picture: Image.Image, spoil: Spoil, colour: tuple[int, int, int], generator: np.random.Generator
) -> Image.Image:
    """A picture of the same size, spoilt.

    Args:
        colour: the model's neutral one.
        generator: draws which patches are blackened; squares at the right and lower edge may be cut.
    """
    if spoil.kind != "patches":
        return reference_image(spoil.kind, picture, colour)
    width, height = picture.size
    side = spoil.patch
    black = generator.random((-(-height // side), -(-width // side))) < spoil.share
    pixels = np.array(picture.convert("RGB"))
    pixels[black.repeat(side, 0)[:height].repeat(side, 1)[:, :width]] = 0
    return Image.fromarray(pixels)


def spoilt_picture(vlm: VLM, rollout: Rollout, spoil: Spoil, seed: int) -> Image.Image:
    """The picture of a rollout, spoilt: the same for the same picture, prompt and seed."""
    generator = np.random.default_rng([seed, *(int(part[:15], 16) for part in rollout.key)])
    return spoil_picture(rollout.picture.pixels, spoil, vlm.neutral_colour, generator)


def encode_spoilt(vlm: VLM, rollout: Rollout, spoil: Spoil, seed: int) -> Encoding:
    """Picture and prompt of a rollout, held against the picture as it is spoilt (or for "none" against one colour).

    Raises:
        PromptMismatch, InputError: as `encode_prompt`.
    """
    if spoil.kind == "none":
        return encode_prompt(vlm, rollout)
    return encode_prompt(vlm, rollout, spoil.kind, spoilt_picture(vlm, rollout, spoil, seed))


def without_picture(vlm: VLM, rollout: Rollout, encoding: Encoding) -> Encoding:
    """The same held against the conversation as text alone: to be read by ordinary forwards, not by branches."""
    text = chat_of(vlm, rollout, picture=False)
    bos = vlm.tokenizer.bos_token
    # A template that writes the begin-of-sequence token itself must not get a second one.
    inputs = vlm.tokenizer(text, return_tensors="pt", add_special_tokens=not (bos and text.startswith(bos)))
    unseen = {name: inputs[name].to(vlm.model.device) for name in ("input_ids", "attention_mask")}
    return dataclasses.replace(
        encoding, reference_inputs=unseen, against="none", prompt_length=unseen["input_ids"].shape[1]
    )


def spoilt_inputs(vlm: VLM, rollout: Rollout, spoil: Spoil, seed: int) -> dict[str, Tensor]:
    """Model inputs (batch 1) of the prompt with the spoilt picture."""
    return vlm.prompt_inputs(chat_of(vlm, rollout), at_least_smallest(spoilt_picture(vlm, rollout, spoil, seed)))


def like_batch(parts: Sequence[Tensor], pixels: Tensor) -> Tensor:
    """Pixels of single prompts as TRL has those of a batch, one behind the other.

    Args:
        parts: `pixel_values` of each, batch 1.
        pixels: those of the batch with its pictures as they are.

    Raises:
        InputError: they do not come out in the same shape.
    """
    if parts[0].ndim == pixels.ndim == 5:
        # Pictures of fewer tiles than others of the batch are filled up with black ones.
        parts = [pad(part, (0, 0) * 3 + (0, pixels.shape[1] - part.shape[1])) for part in parts]
    if any(part.shape[1:] != pixels.shape[1:] for part in parts) or sum(map(len, parts)) != len(pixels):
        raise InputError(
            f"TRL has pictures in the shape {tuple(pixels.shape)} and the spoilt ones are of shape "
            f"{tuple(parts[0].shape)} each, so they cannot take their place; train this model with vppo or pgpo."
        )
    return torch.cat(list(parts)).to(pixels)

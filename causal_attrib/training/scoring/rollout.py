"""One completion that a policy wrote, as the engine reads it."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from PIL import Image
from torch import Tensor
from transformers import ProcessorMixin

from causal_attrib.io.pictures import ImageLike, Picture, at_least_smallest, read_picture
from causal_attrib.training.data.places import in_blocks
from causal_attrib.vlm import VLM, Encoding
from causal_attrib.vlm.layout import without_boxes
from causal_attrib.vlm.reference_image import reference_image
from causal_attrib.vlm.text import decode
from causal_attrib.words.blank import says_something
from causal_attrib.words.reasoning import is_cut_off, split_response

# Stands for the response where only the prompt matters: one that every tokenizer reads, as some drop punctuation.
_PLACE = "a"


class PromptMismatch(RuntimeError):
    """The prompt of a rollout, as it is encoded here, is not the one that the policy saw."""


@dataclass(frozen=True)
class Rollout:
    """A completion and what it was written for.

    image:          what the policy was shown (anything `read_picture` takes), or a list of several
    messages:       the conversation before it, as the chat template takes it; pictures that have no place in it stand
                    at the head of the first user turn
    completion_ids: the sampled ids without padding, end-of-sequence included
    answer:         reference answer, or None
    question:       question that a caption is to help answer, or None
    objects:        annotated objects, or None
    prompt_ids:     ids of the prompt as the policy saw it, image placeholders expanded; None if they are not at hand
    options:        further arguments of the chat template
    index:          which of several pictures outcomes ask about; the others stay as they are
    """

    image: ImageLike | list[ImageLike]
    messages: Sequence[dict]
    completion_ids: tuple[int, ...]
    answer: str | None = None
    question: str | None = None
    objects: list[str] | None = None
    prompt_ids: tuple[int, ...] | None = None
    options: dict = field(default_factory=dict)
    index: int = 0

    @functools.cached_property
    def pictures(self) -> tuple[Picture, ...]:
        return tuple(read_picture(one) for one in (self.image if isinstance(self.image, list) else [self.image]))

    @property
    def picture(self) -> Picture:
        """The one that is asked about."""
        return self.pictures[self.index]

    @functools.cached_property
    def conversation(self) -> list[dict]:
        """The messages in blocks, with a place for each picture."""
        return in_blocks(self.messages, len(self.pictures))

    @functools.cached_property
    def key(self) -> tuple[str, ...]:
        """The same for completions of the same pictures and prompt."""
        said = json.dumps([self.conversation, self.index], sort_keys=True)
        return (*(picture.sha256 for picture in self.pictures), hashlib.sha256(said.encode()).hexdigest())


def chat_of(vlm: VLM, rollout: Rollout, *, picture: bool = True) -> str:
    """The conversation as the chat template writes it, up to where the model begins to speak.

    Args:
        picture: with the placeholder of the picture; without it the conversation is text alone.
    """
    turns = rollout.conversation
    if not picture:
        turns = [turn | {"content": [part for part in turn["content"] if part["type"] != "image"]} for turn in turns]
    # Of the base class: overrides deal with videos, and fail where there is no video processor.
    return ProcessorMixin.apply_chat_template(
        vlm.processor, turns, tokenize=False, add_generation_prompt=True, **rollout.options
    )


def encode_prompt(vlm: VLM, rollout: Rollout, against: str = "colour", unseen: Image.Image | None = None) -> Encoding:
    """Picture and prompt of a rollout as an encoding; its response is a stand-in.

    Args:
        against: what outcomes hold the picture against, as in `VLM.encode`; with `unseen`, what that is called.
        unseen: a picture of the same size that it is held against; None is made as `against` says.

    Raises:
        PromptMismatch: the prompt is not the one that the policy saw.
        InputError: the processor refuses the picture.
    """
    before = chat_of(vlm, rollout)
    picture = rollout.picture
    if unseen is None:
        unseen = reference_image(against, picture.pixels, vlm.neutral_colour)

    def inputs(pixels: Image.Image) -> dict[str, Tensor]:
        """Those of all pictures, with this in the place of the one that is asked about."""
        every = [one.pixels for one in rollout.pictures]
        every[rollout.index] = pixels
        return vlm.prompt_inputs(before, *map(at_least_smallest, every))

    shown, held_against = inputs(picture.pixels), inputs(unseen)
    ids_L = shown[vlm.family.row][0]
    if rollout.prompt_ids is not None and tuple(ids_L.tolist()) != rollout.prompt_ids:
        raise PromptMismatch(
            f"The prompt that is scored ({len(ids_L)} tokens) is not the one that the policy saw "
            f"({len(rollout.prompt_ids)} tokens); its chat template was applied in another way."
        )
    _, stand_in = vlm.encode_response(_PLACE)
    return Encoding(
        **stand_in | {"prompt": before},
        picture=picture,
        prompt_inputs=shown,
        reference_inputs=held_against,
        against=against,
        prompt_length=len(ids_L),
        layout=(
            vlm.family.layout(shown, picture.shown.size)
            if len(rollout.pictures) == 1
            else without_boxes(vlm.family.image_positions(shown))
        ),
    )


def encode_completion(vlm: VLM, prompt: Encoding, rollout: Rollout, outcome: str = "auto") -> Encoding | None:
    """The completion behind its prompt, ids as they were sampled; None if there is nothing in it that can be scored.

    That is so if nobody can read anything in it, if nothing stands between its tags or they are not closed, or if it
    answers at once what was asked: a token of the answer gets no causal reward (COPO, arXiv 2508.04182v2). Where an
    answer is wanted and nothing marks it, it is the last sentence.

    Args:
        prompt: from `encode_prompt`.
        outcome: name of the outcome that is to judge.
    """
    ids = rollout.completion_ids
    ids = ids[: next((t for t, token in enumerate(ids) if token in vlm.end_ids), len(ids))]
    text = decode(vlm.tokenizer, ids)
    answer, question = rollout.answer, rollout.question if rollout.answer is not None else None
    ends_in_answer = answer is not None and question is None
    parts = split_response(text, ends_in_answer=ends_in_answer)
    if not says_something(text) or is_cut_off(text):
        return None
    if parts and not (text[parts.start : parts.end].strip() and (answer or parts.answer).strip()):
        return None
    if parts is None and question is None and (answer is not None or outcome in ("likelihood", "match")):
        return None
    _, spoken = vlm.encode_response(ids, None, answer, question, ends_in_answer=ends_in_answer)
    if spoken["start"] >= spoken["end"]:
        return None
    return dataclasses.replace(prompt, **spoken | {"prompt": prompt.prompt})

"""One completion that a policy wrote, as the engine reads it."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from PIL import Image
from transformers import ProcessorMixin

from causal_attrib.io.pictures import ImageLike, Picture, at_least_smallest, read_picture
from causal_attrib.vlm import VLM, Encoding
from causal_attrib.vlm.reference_image import reference_image
from causal_attrib.vlm.text import decode
from causal_attrib.words.reasoning import is_cut_off, split_response

# Stands for the response where only the prompt matters.
_PLACE = "."


class PromptMismatch(RuntimeError):
    """The prompt of a rollout, as it is encoded here, is not the one that the policy saw."""


@dataclass(frozen=True)
class Rollout:
    """A completion and what it was written for.

    image:          what the policy was shown (anything `read_picture` takes)
    messages:       the conversation before it, as the chat template takes it; the picture stands in the first user turn
    completion_ids: the sampled ids without padding, end-of-sequence included
    answer:         reference answer, or None
    question:       question that a caption is to help answer, or None
    objects:        annotated objects, or None
    prompt_ids:     ids of the prompt as the policy saw it, image placeholders expanded; None if they are not at hand
    options:        further arguments of the chat template
    """

    image: ImageLike
    messages: Sequence[dict]
    completion_ids: tuple[int, ...]
    answer: str | None = None
    question: str | None = None
    objects: list[str] | None = None
    prompt_ids: tuple[int, ...] | None = None
    options: dict = field(default_factory=dict)

    @functools.cached_property
    def picture(self) -> Picture:
        return read_picture(self.image)

    @functools.cached_property
    def key(self) -> tuple[str, str]:
        """The same for completions of one picture and prompt."""
        said = json.dumps(with_picture(self.messages), sort_keys=True)
        return self.picture.sha256, hashlib.sha256(said.encode()).hexdigest()


def with_picture(messages: Sequence[dict]) -> list[dict]:
    """A conversation whose contents are lists of blocks, with a picture at the head of the first user turn.

    Pictures that stand in the messages already stay where they are, as bare placeholders.

    >>> with_picture([{"role": "user", "content": "What is it?"}])
    [{'role': 'user', 'content': [{'type': 'image'}, {'type': 'text', 'text': 'What is it?'}]}]
    """
    turns = []
    for message in messages:
        content = message["content"]
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        blocks = [{"type": "image"} if block["type"] == "image" else dict(block) for block in blocks]
        turns.append({"role": message["role"], "content": blocks})
    if not any(block["type"] == "image" for turn in turns for block in turn["content"]):
        first = next(turn for turn in turns if turn["role"] == "user")
        first["content"].insert(0, {"type": "image"})
    return turns


def chat_of(vlm: VLM, rollout: Rollout, *, picture: bool = True) -> str:
    """The conversation as the chat template writes it, up to where the model begins to speak.

    Args:
        picture: with the placeholder of the picture; without it the conversation is text alone.
    """
    turns = with_picture(rollout.messages)
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
    shown, held_against = (vlm.prompt_inputs(before, at_least_smallest(pixels)) for pixels in (picture.pixels, unseen))
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
        layout=vlm.family.layout(shown, picture.shown.size),
    )


def encode_completion(vlm: VLM, prompt: Encoding, rollout: Rollout, outcome: str = "auto") -> Encoding | None:
    """The completion behind its prompt, ids as they were sampled; None if there is nothing in it that can be scored.

    That is so if it is empty, if nothing stands between its tags or they are not closed, or if it answers at once what
    was asked: a token of the answer gets no causal reward (COPO, arXiv 2508.04182v2). Where an answer is wanted and
    nothing marks it, it is the last sentence.

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
    if not text.strip() or is_cut_off(text):
        return None
    if parts and not (text[parts.start : parts.end].strip() and (answer or parts.answer).strip()):
        return None
    if parts is None and question is None and (answer is not None or outcome in ("likelihood", "match")):
        return None
    _, spoken = vlm.encode_response(ids, None, answer, question, ends_in_answer=ends_in_answer)
    if spoken["start"] >= spoken["end"]:
        return None
    return dataclasses.replace(prompt, **spoken | {"prompt": prompt.prompt})

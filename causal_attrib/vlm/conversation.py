"""Text around the response: how a model wants to be asked, and how an answer is asked for afterwards."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

from transformers import ProcessorMixin

from causal_attrib.errors import InputError
from causal_attrib.vlm.refusal import detail_of

# Stands for the response while its surroundings are written; any word that templates leave alone will do.
_RESPONSE = "RESPONSE"
# Lines that a template may run through; real ones take some hundred.
_LINES = 1_000_000


@dataclass(frozen=True)
class Conversation:
    """A conversation cut at the places where the model speaks.

    before:    everything up to the point where the model begins to speak (image placeholder and prompt in it)
    separator: what stands between `before` and the first word of what the model says (a space, or nothing)
    cue:       what follows the response when a second question is asked, up to where the model speaks again; empty
               without a second question
    """

    before: str
    separator: str
    cue: str


def converse(processor: ProcessorMixin, prompt: str, question: str | None = None) -> Conversation:
    """Ask `prompt` about the picture and, after the response, `question`, by the processor's chat template.

    Raises:
        InputError: the template is broken, has no end, or has no room for what the model says.
    """
    response = _RESPONSE
    while response in f"{prompt} {question}":
        response += "S"
    asked = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": prompt}]}]
    before = _write(processor, asked, add_generation_prompt=True)
    spoken, text = _spoken(processor, asked, response)
    lead = text.rpartition(response)[0]
    # Some templates open a thinking block in the generation prompt only; then nothing stands between.
    separator = lead[len(before) :] if lead.startswith(before) else ""
    cue = ""
    if question is not None:
        follow_up = [*spoken, {"role": "user", "content": [{"type": "text", "text": question}]}]
        cue = _write(processor, follow_up, add_generation_prompt=True).partition(response)[2]
    return Conversation(before, separator, cue)


def _spoken(processor: ProcessorMixin, asked: list[dict[str, Any]], response: str) -> tuple[list[dict[str, Any]], str]:
    """The conversation up to the end of the response, and its text.

    Templates take what the assistant says as a list of parts, as that of the user, or as a string alone (Pixtral's);
    some of the latter would print the list as Python does.
    """
    fault: InputError | None = None
    parts = [{"type": "text", "text": response}]
    for content in (parts, response):
        spoken = [*asked, {"role": "assistant", "content": content}]
        try:
            text = _write(processor, spoken)
        except InputError as error:
            fault = fault or error
            continue
        if response in text and "'type'" not in text.rpartition(response)[0][-40:]:
            return spoken, text
    raise fault or InputError("The model's chat template leaves out what the model says; give its folder another one.")


def _write(
    processor: ProcessorMixin, conversation: list[dict[str, Any]], *, add_generation_prompt: bool = False
) -> str:
    # Of the base class: overrides deal with videos, and fail where there is no video processor.
    try:
        with _ending():
            text = ProcessorMixin.apply_chat_template(
                processor, conversation, tokenize=False, add_generation_prompt=add_generation_prompt
            )
    except _EndlessError:
        raise InputError(
            f"The model's chat template does not end within {_LINES:,} steps; give its folder another one."
        ) from None
    # A template is a program from outside, and can raise anything.
    except Exception as error:
        raise InputError(
            f"The model's chat template cannot be used ({detail_of(error)}); give its folder another one."
        ) from error
    return text


class _EndlessError(BaseException):
    """A template has run for too long."""


@contextmanager
def _ending() -> Iterator[None]:
    """End a template that loops on and on; loops in one another do so within every limit that Jinja sets."""
    run = 0

    def count(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal run
        run += 1
        if run > _LINES:
            raise _EndlessError
        return count

    def enter(frame: FrameType, event: str, argument: object) -> Any:
        return count(frame, event, argument) if frame.f_code.co_filename == "<template>" else None

    before = sys.gettrace()
    sys.settrace(enter)
    try:
        yield
    finally:
        sys.settrace(before)

"""Text around the response: how a model wants to be asked, and how an answer is asked for afterwards."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from transformers import ProcessorMixin

# Stands for the response while its surroundings are written; any word that templates leave alone will do.
_PLACE = "RESPONSE"


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
    """Ask `prompt` about the picture and, after the response, `question`, by the processor's chat template."""
    asked = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": prompt}]}]
    spoken = [*asked, {"role": "assistant", "content": [{"type": "text", "text": _PLACE}]}]
    # Of the base class: overrides deal with videos, and fail where there is no video processor.
    write = functools.partial(ProcessorMixin.apply_chat_template, processor, tokenize=False)
    before = write(asked, add_generation_prompt=True)
    lead = write(spoken).rpartition(_PLACE)[0]
    # Some templates open a thinking block in the generation prompt only; then nothing stands between.
    separator = lead[len(before) :] if lead.startswith(before) else ""
    cue = ""
    if question is not None:
        follow_up = [*spoken, {"role": "user", "content": [{"type": "text", "text": question}]}]
        text = write(follow_up, add_generation_prompt=True)
        cue = text.partition(_PLACE)[2]
    return Conversation(before, separator, cue)

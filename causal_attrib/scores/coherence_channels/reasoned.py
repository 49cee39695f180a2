"""Whether there is anything for coherence to look at: reasoning, and an answer behind it. No torch."""

from __future__ import annotations

from causal_attrib.errors import InputError
from causal_attrib.words.reasoning import is_cut_off, split_response


def check_reasoned(caption: str, answer: str | None = None) -> None:
    """Raise an `InputError` that says what is missing, unless the caption has reasoning and an answer."""
    parts = split_response(caption)
    if parts is None:
        missing = "answer" if is_cut_off(caption) else "reasoning"
    elif not caption[parts.start : parts.end].strip():
        missing = "reasoning"
    elif not (answer or parts.answer).strip():
        missing = "answer"
    else:
        return
    raise InputError(
        f"Coherence needs a reasoned answer, and the caption has no {missing}; write it as <think> ... </think> "
        '<answer> ... </answer>, or end it in "the final answer is ...".'
    )

"""Coherence in words: what each channel is called and what its number says."""

from __future__ import annotations

from causal_attrib.views.drawing import number

CHANNELS = {
    "image_to_reasoning": "image → reasoning",
    "prompt_to_reasoning": "prompt → reasoning",
    "reasoning_to_answer": "reasoning → answer",
    "image_to_answer": "image → answer",
    "prompt_to_answer": "prompt → answer",
}

MEANINGS = {
    "image_to_reasoning": "How closely the reasoning follows what the picture shows, with its patches in their places.",
    "prompt_to_reasoning": "How closely the reasoning follows the words of the prompt in their order.",
    "reasoning_to_answer": "How closely the answer follows the words of the reasoning in their order.",
    "image_to_answer": "How closely the answer follows the picture past the reasoning.",
    "prompt_to_answer": "How closely the answer follows the prompt past the reasoning.",
}

NOTE = "From 0.005 (no more than shuffled words or patches give) to 1."


def line(coherence: dict) -> str:
    """The record of an attribution in one line.

    >>> channels = dict.fromkeys(CHANNELS, 0.5)
    >>> line({"hardened": channels, "aggregate": 0.5})[:33]
    '0.50: image→reasoning 0.50, promp'
    """
    hardened = coherence["hardened"]
    told = ", ".join(f"{name.replace(' ', '')} {number(hardened[channel], 2)}" for channel, name in CHANNELS.items())
    return f"{number(coherence['aggregate'], 2)}: {told}"


def single_tokens(coherence: dict) -> str:
    """A caution where a source is a single token; empty where there is none."""
    single = [source for source in ("image", "prompt", "reasoning") if coherence["tokens"][source] == 1]
    return f"A source of one token scores high for free: {', '.join(single)}." if single else ""

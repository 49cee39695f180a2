"""Where a response reasons and where it answers.

COPO (arXiv 2508.04182v2) scores the tokens of the reasoning by what they do to the answer, so the two must be told
apart. The paper does not say how; this is our reading (docs/scores.md): tags first, then an announced final answer, and
a response with neither is a caption, all of whose words are scored.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

TAGGED = re.compile(
    r"<(?P<tag>think|thinking|reason|reasoning)>(?P<reasoning>.*?)"
    r"(?P<cue></(?P=tag)>\s*<answer>\s*)(?P<answer>.*?)\s*(?:</answer>|$)",
    re.DOTALL,
)
ANNOUNCED = re.compile(
    r"(?P<reasoning>.+?)(?P<cue>\s*\b(?:the\s+)?final answer\s*(?:is\s*:?|:)\s+)(?P<answer>\S.*?)\s*\.?\s*$",
    re.DOTALL | re.IGNORECASE,
)


@dataclass(frozen=True)
class Parts:
    """Character positions of the parts of a response: `text[start:end]` reasons, `cue` leads over, `answer` answers."""

    start: int
    end: int
    cue: str
    answer: str


def split_response(text: str) -> Parts | None:
    """The reasoning and the answer of a response, or None if it only describes.

    >>> text = "<think> a dog on grass </think> <answer> yes </answer>"
    >>> parts = split_response(text)
    >>> text[parts.start : parts.end], parts.cue, parts.answer
    (' a dog on grass', ' </think> <answer> ', 'yes')
    >>> split_response("I see two dogs. The final answer is two.").answer
    'two'
    >>> split_response("a dog on the grass") is None
    True
    """
    match = TAGGED.search(text) or ANNOUNCED.match(text)
    if match is None:
        return None
    start, end = match.span("reasoning")
    # The space before a closing tag is the tag's, not the last word's.
    trimmed = start + len(text[start:end].rstrip())
    return Parts(start, trimmed, text[trimmed : match.end("cue")], match["answer"])


def answer_of(text: str) -> str:
    """What a response answers: the tagged or announced answer, else the whole text."""
    parts = split_response(text)
    return parts.answer if parts else text.strip()

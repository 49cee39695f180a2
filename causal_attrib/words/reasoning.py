"""Where a response reasons and where it answers.

COPO (arXiv 2508.04182v2) scores the tokens of the reasoning by what they do to the answer, so the two must be told
apart. The paper does not say how; this is our reading (docs/scores.md): tags first, then an announced final answer,
then, where the caller knows that the response ends in an answer, its last sentence. A response with none of them is a
caption, all of whose words are scored.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from causal_attrib.errors import InputError

_OPEN = re.compile(r"<(think|thinking|reason|reasoning)>")
_BOX = re.compile(r"<(answer|final_?answer)>\s*")
# With the marks of Markdown; "finalanswer>" is what is left of a tag (CE-PO, arXiv 2509.23095).
_ANNOUNCED = re.compile(r"\b(?:the\s+)?final ?answer[*_]*\s*(?:is\s*:?|[:>])[*_]*\s+[*_]*(?=\S)", re.IGNORECASE)
_BLANK = re.compile(r"\s+")


@dataclass(frozen=True)
class Parts:
    """Character positions of the parts of a response: `text[start:end]` reasons, `cue` leads over, `answer` answers."""

    start: int
    end: int
    cue: str
    answer: str


def check_asked(question: str | None, answer: str | None) -> None:
    """Raises InputError for one without the other, which a response without reasoning needs."""
    if answer is not None and question is None:
        raise InputError("An answer needs its question: add --question (or question=).")
    if question is not None and answer is None:
        raise InputError("A question needs its reference answer: add --answer (or answer=).")


def split_response(text: str, *, ends_in_answer: bool = False) -> Parts | None:
    """The reasoning and the answer of a response, or None if it only describes.

    Args:
        ends_in_answer: the last sentence (or line) is the answer if nothing else marks one.

    >>> text = "<think> a dog on grass </think> <answer> yes </answer>"
    >>> parts = split_response(text)
    >>> text[parts.start : parts.end], parts.cue, parts.answer
    (' a dog on grass', ' </think> <answer> ', 'yes')
    >>> split_response("I see two dogs. The final answer is two.").answer
    'two'
    >>> split_response("a dog on the grass") is None
    True
    >>> split_response("There is a cake. So yes.", ends_in_answer=True).answer
    'So yes.'
    """
    found = _tagged(text) or _boxed(text) or _announced(text) or (ends_in_answer and _last_sentence(text))
    if not found:
        return None
    start, end, begin, answer = found
    # The space before a closing tag is the tag's, not the last word's.
    trimmed = start + len(text[start:end].rstrip())
    return Parts(start, trimmed, text[trimmed:begin], answer)


def is_cut_off(text: str) -> bool:
    """Whether a response has begun to reason between tags and come to no end.

    >>> is_cut_off("<think> a dog on"), is_cut_off("<think> a dog </think> yes"), is_cut_off("a dog")
    (True, False, False)
    """
    return _OPEN.search(text) is not None and split_response(text) is None


def answer_of(text: str) -> str:
    """What a response answers: the tagged or announced answer, else the whole text."""
    parts = split_response(text)
    return parts.answer if parts else text.strip()


# Each gives where the reasoning starts and ends, where the answer begins, and the answer; or None. They take time in
# proportion to the text: a policy in training writes anything.
_Found = tuple[int, int, int, str]


def _tagged(text: str) -> _Found | None:
    """<think> .. </think> <answer> .. </answer>; the tags of the answer may be left out."""
    opening = _OPEN.search(text)
    end = text.find(f"</{opening[1]}>", opening.end()) if opening else -1
    if opening is None or end < 0:
        return None
    behind = text[end:].partition(">")[2]
    box = _BOX.match(behind.lstrip())
    said = behind.lstrip()[box.end() :] if box else behind.lstrip()
    return opening.end(), end, len(text) - len(said), (said.partition(f"</{box[1]}>")[0] if box else said).rstrip()


def _boxed(text: str) -> _Found | None:
    """.. <answer> .. </answer>, as some who do not mark or close their thoughts write."""
    box = _BOX.search(text)
    if box is None:
        return None
    opening = _OPEN.match(text.lstrip())
    start = len(text) - len(text.lstrip()) + opening.end() if opening else 0
    if not text[start : box.start()].strip():
        return None
    return start, box.start(), box.end(), text[box.end() :].partition(f"</{box[1]}>")[0].rstrip()


def _announced(text: str) -> _Found | None:
    """.. The final answer is .."""
    for cue in _ANNOUNCED.finditer(text):
        before = text[: cue.start()].rstrip().rstrip("*_#").rstrip()
        answer = text[cue.end() :].rstrip().rstrip("*_").removesuffix(".").rstrip("*_").rstrip()
        if before and answer:
            return 0, len(before), cue.end(), answer
    return None


def _last_sentence(text: str) -> _Found | None:
    """The last sentence or line answers, if it is not the only one."""
    text = text.rstrip()
    ends = [
        (blank.start(), blank.end())
        for blank in _BLANK.finditer(text)
        if "\n" in blank[0] or text[blank.start() - 1 : blank.start()] in (".", "!", "?")
    ]
    if not ends or not text[: ends[-1][0]].strip():
        return None
    end, begin = ends[-1]
    return 0, end, begin, text[begin:]

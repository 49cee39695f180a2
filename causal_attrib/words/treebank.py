"""Words of a caption as the Penn Treebank cuts them, with their places in the text.

CHAIR's script calls NLTK's `word_tokenize`: sentences first, since only the period that ends a sentence is cut off its
word, then Treebank tokens. This is a writing of those conventions as positions in the text. Sentences end at ".", "!"
or "?" before white space, where NLTK asks a trained model.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")
_FINAL_PERIOD = re.compile(r"""(?<!\.)\.(?=[])}>"'»”’\s]*$)""")
# What is a token of its own wherever it stands. A comma or colon before a digit belongs to the number or the time.
_ALONE = re.compile(
    r"""\.{2,}|--|''|`+|[]\[;@#$%&?!*(){}<>«»“”‘’„"‒–—―]|[:,](?!\d)|(?<!\w)'(?!(?:re|ve|ll|[mtsdn])\b)(?=\w)"""
)
_CLITICS = (re.compile(r"(?<=[^'])(?:'[smd]|')$"), re.compile(r"(?<=[^'])(?:'ll|'re|'ve|n't)$"))
_TWO_IN_ONE = {"cannot", "gimme", "gonna", "gotta", "lemme", "wanna"}


@dataclass(frozen=True)
class TreebankToken:
    """A lower-cased token and the characters of the text it stands for."""

    text: str
    start: int
    end: int


def lowered(text: str) -> str:
    """Lower case with every character in its place: one whose lower case is longer stays as it is."""
    low = text.lower()
    if len(low) == len(text):  # no character's lower case is shorter than it
        return low
    return "".join(low if len(low := character.lower()) == 1 else character for character in text)


def sentences(text: str) -> list[tuple[int, int]]:
    """Start and end of each sentence.

    >>> sentences("A dog. It runs!  Why")
    [(0, 6), (7, 15), (17, 20)]
    """
    ends = [(match.start(), match.end()) for match in _SENTENCE_END.finditer(text)]
    starts = [0, *(after for _, after in ends)]
    return [
        (start, end) for start, end in zip(starts, [*(end for end, _ in ends), len(text)], strict=True) if start < end
    ]


def tokenize(text: str) -> list[TreebankToken]:
    """The Treebank tokens of a text.

    >>> [token.text for token in tokenize("The man's hot-dog isn't cut, is it? (No.)")]
    ['the', 'man', "'s", 'hot-dog', 'is', "n't", 'cut', ',', 'is', 'it', '?', '(', 'no', '.', ')']
    """
    text = lowered(text)
    return [token for start, end in sentences(text) for token in _in_sentence(text, start, end)]


def _in_sentence(text: str, start: int, end: int) -> list[TreebankToken]:
    sentence = text[start:end]
    alone = [match.span() for match in _ALONE.finditer(sentence)]
    alone += [match.span() for match in _FINAL_PERIOD.finditer(sentence)]
    spans, position = [], 0
    for left, right in [*sorted(alone), (len(sentence), len(sentence))]:
        for match in re.finditer(r"\S+", sentence[position:left]):
            spans += _without_clitics(sentence, position + match.start(), position + match.end())
        spans.append((left, right))
        position = right
    return [TreebankToken(sentence[left:right], start + left, start + right) for left, right in spans if left < right]


def _without_clitics(text: str, start: int, end: int) -> list[tuple[int, int]]:
    tail: list[tuple[int, int]] = []
    for clitic in _CLITICS:
        if match := clitic.search(text, start, end):
            tail.insert(0, (match.start(), end))
            end = match.start()
    if text[start:end] in _TWO_IN_ONE:
        return [(start, start + 3), (start + 3, end), *tail]
    return [(start, end), *tail]

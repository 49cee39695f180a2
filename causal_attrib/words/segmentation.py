"""Where the words of a text begin and end."""

from __future__ import annotations

import re

Span = tuple[int, int]

# A word with its apostrophes and inner hyphens, a tag such as </think>, or one mark of punctuation.
WORD = re.compile(r"</?\w+>|\w+(?:['’-]\w+)*|[^\w\s]")


def word_of_each(text: str, spans: tuple[Span, ...]) -> tuple[int, ...]:
    """Index of the word that each span belongs to: that of its first visible character.

    A span without visible characters belongs to the word before it.

    >>> word_of_each("a red dog.", ((0, 1), (1, 5), (5, 7), (7, 9), (9, 10)))
    (0, 1, 2, 2, 3)
    """
    owner = {}
    for index, match in enumerate(WORD.finditer(text)):
        owner.update(dict.fromkeys(range(*match.span()), index))
    words, current = [], 0
    for start, end in spans:
        current = next((owner[i] for i in range(start, end) if i in owner), current)
        words.append(current)
    return tuple(words)

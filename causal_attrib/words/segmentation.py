"""Where the words of a text begin and end: Unicode's rules (UAX #29), with English kept as this project always cut it.

The classes of characters are those of the package `regex`, which follows each version of Unicode and which transformers
needs anyway. What differs from the default word boundaries of UAX #29, and why:

- Apostrophes and hyphens inside a word keep it one ("dog's", "red-hot", "90's"); points, commas and colons never do
  ("3.5" is three), so that each mark of punctuation is one. A tag such as </think> is one.
- Superscripts, fractions and circled numbers belong to the word beside them ("m²").
- Scripts that write no spaces and whose words only a dictionary tells (Thai, Lao, Khmer, Burmese) are cut at spaces,
  zero-width spaces and punctuation alone: UAX #29 would make every letter a word, which is worse than a whole phrase.
- Spaces and invisible characters are no words.

As there, each Chinese character and each hiragana is a word and a run of katakana is one; a letter keeps its marks, and
an emoji is one with all that is joined to it.
"""

from __future__ import annotations

import regex

Span = tuple[int, int]

_EXTENDERS = r"[\p{WB=Extend}\p{WB=Format}\p{WB=ZWJ}]*+"
_LETTER = rf"(?:[\p{{WB=ALetter}}\p{{WB=Hebrew_Letter}}\p{{WB=Numeric}}\p{{Pc}}\p{{No}}]{_EXTENDERS})"
# Between letters: apostrophes, hyphens, the points inside Catalan and Armenian words, and the mark of Hebrew acronyms.
_INNER = r"""(?:['’\-‐‑·‧՟״]|(?<=\p{WB=Hebrew_Letter})"(?=\p{WB=Hebrew_Letter}))"""

WORD = regex.compile(
    rf"""
    </?\w+>                                                      # a tag
    | {_LETTER}++ (?:{_INNER} {_LETTER}++)*+
    | (?:\p{{WB=Katakana}}{_EXTENDERS})++
    | (?:\p{{LB=SA}}{_EXTENDERS})++                              # Thai, Lao, Khmer, Burmese
    | (?![\s\x1c-\x1f\p{{Default_Ignorable_Code_Point}}])\X      # one character as a reader sees it
    """,
    regex.VERBOSE,
)


def word_of_each(text: str, spans: tuple[Span, ...]) -> tuple[int, ...]:
    """Index of the word that each span belongs to: that of its first visible character.

    A span without visible characters belongs to the word before it. A word whose characters all lie in spans that begin
    in another word has no span.

    >>> word_of_each("a red dog.", ((0, 1), (1, 5), (5, 7), (7, 9), (9, 10)))
    (0, 1, 2, 2, 3)
    """
    owner: dict[int, int] = {}
    for index, match in enumerate(WORD.finditer(text)):
        owner.update(dict.fromkeys(range(*match.span()), index))
    words, current = [], 0
    for start, end in spans:
        current = next((owner[i] for i in range(start, end) if i in owner), current)
        words.append(current)
    return tuple(words)

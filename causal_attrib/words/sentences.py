"""Where sentences end: by punctuation and lines, without a dictionary."""

from __future__ import annotations

import regex

from causal_attrib.words.segmentation import Span

# Closing quotes and brackets belong to the sentence they close.
_END = regex.compile(r"""[.!?…]+["'”’)\]»*_]*(?=\s|$)|[。！？]+[」』”’）]*|\n\s*""")
_NUMBER = regex.compile(r"[\s>*-]*\p{N}+[.)]")


def sentence_of_each(text: str, spans: tuple[Span, ...]) -> tuple[int, ...]:
    """Index of the sentence that each span belongs to: that of its first visible character.

    A line ends a sentence. A full stop before a small letter ("e.g. a dog") and one behind a number that begins a line
    ("2. A dog") end none.

    >>> sentence_of_each("Hi! A dog, e.g. a pug. Ok", ((0, 2), (2, 3), (3, 5), (5, 22), (22, 25)))
    (0, 0, 1, 1, 2)
    """
    bounds, begin = [], 0
    for match in _END.finditer(text):
        after = text[match.end() :].lstrip()[:1]
        is_line, is_stop = "\n" in match[0], match[0].startswith(".")
        if is_stop and (after.islower() or _NUMBER.fullmatch(text[begin : match.end()])):
            continue
        if not text[begin : match.start()].strip() and is_line:
            continue
        bounds.append(match.end())
        begin = match.end()
    sentences, current = [], 0
    for start, end in spans:
        first = next((i for i in range(start, end) if not text[i].isspace()), None)
        if first is not None:
            current = max(current, sum(bound <= first for bound in bounds))
        sentences.append(current)
    return tuple(sentences)

"""Whether an answer says the same as the reference."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import ClassVar

from causal_attrib.words import yes_no
from causal_attrib.words.reasoning import answer_of

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_NUMBERS = dict(zip("zero one two three four five six seven eight nine ten".split(), map(str, range(11)), strict=True))
# Points and minus signs of numbers say something.
_MARKS = re.compile(r"[^\w\s.-]|\.(?!\d)|-(?!\d)|(?<=\w)-")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}\b)")
_LEAD_IN = re.compile(r"^answer (?:is )?")
_OPTION = re.compile(r"^\s*(?:option\s+|answer\s*:?\s*)?\(?([a-z])\s*(?:[).:]|$)", re.IGNORECASE)


@dataclass(frozen=True)
class Match:
    """r = 1 if the answer in a text agrees with the reference, else 0 (COPO's r(): right or wrong).

    Compared without case, punctuation, articles and with number words as digits:
    a one-letter reference (A..Z) is a choice and must be the option the answer begins with; yes and no must be the
    first yes or no said; any other reference must be the whole answer.
    """

    reference: str
    name: ClassVar[str] = "match"
    meaning: ClassVar[str] = "1 if the answer agrees with the reference answer, else 0"
    needs_text: ClassVar[bool] = True

    def __call__(self, text: str) -> float:
        return float(matches(text, self.reference))


def matches(text: str, reference: str) -> bool:
    """Whether the answer in `text` agrees with `reference`.

    >>> matches("<think> grass </think> <answer> Yes. </answer>", "yes")
    True
    >>> matches("A red bus.", "the red bus"), matches("a red bus and a blue one", "red bus")
    (True, False)
    >>> matches("(B) a dog", "B"), matches("A dog is there", "A"), matches("No, yes would be wrong", "yes")
    (True, False, False)
    """
    answer = answer_of(text)
    wanted = normalise(reference)
    if re.fullmatch(r"[A-Za-z]", reference.strip()):
        option = _OPTION.match(answer)
        return option is not None and option[1].lower() == reference.strip().lower()
    said = normalise(answer)
    if wanted in ("yes", "no"):
        return yes_no.said(answer)[:1] == [wanted]
    return bool(wanted) and _LEAD_IN.sub("", said) == wanted


def normalise(text: str) -> str:
    """Lower case, no punctuation or articles, number words as digits, single spaces; numbers keep point and minus.

    >>> normalise("The two  Dogs!"), normalise("-1,500.5")
    ('2 dogs', '-1500.5')
    """
    text = unicodedata.normalize("NFKC", text).lower()
    text = _ARTICLES.sub(" ", _MARKS.sub(" ", _THOUSANDS.sub("", text)))
    return " ".join(_NUMBERS.get(word, word) for word in text.split())

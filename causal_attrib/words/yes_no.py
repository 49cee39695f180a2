"""Yes and no: as a label of a data file, and in what a model says.

Evaluation and training read labels alike, so that a file that `copo eval pope` takes can be trained on. What counts as
a reply of yes is each harness's own rule (`evaluation.yesno`, `outcomes.match`); which of the two words were said is
not.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Literal

YesNoLabel = Literal["yes", "no"]

_LABELS: dict[str, YesNoLabel] = {
    **{"yes": "yes", "1": "yes", "1.0": "yes", "true": "yes"},
    **{"no": "no", "0": "no", "0.0": "no", "false": "no"},
}
_WORD = re.compile(r"[^\W\d_]+")
_BEGIN = r"(?:^|[.!?:\n]\s*)"
_ASKED_OTHERWISE = re.compile(
    r"\bhow (?:many|much)\b|\bnumber of\b|\btrue\b.{0,5}\bfalse\b|\b[01]\b.{0,20}\b[01]\b"
    rf"|{_BEGIN}(?:what|which|where|who|when|why|how|count)\b"
)
_ASKS_YES_OR_NO = re.compile(
    rf"\byes\b.{{0,20}}\bno\b|{_BEGIN}(?:is|are|was|were|do|does|did|has|have|had|can|could|will|would|should)\b"
)


def label_of(value: object) -> YesNoLabel | None:
    """Yes or no for the labels that data files have: yes/no, true/false, 1/0, in any case; None for any other.

    >>> label_of("Yes"), label_of(1), label_of("0"), label_of(False), label_of(1.0), label_of("maybe"), label_of(2)
    ('yes', 'yes', 'no', 'no', 'yes', None, None)
    """
    return _LABELS.get(str(value).strip().rstrip(".").lower())


def label_for(question: str, value: object, *, is_label: bool) -> object:
    """The label yes or no where that is what a question is answered with, else the value as it is.

    A `label` is read so unless the question asks for something else (how many, true or false, 1 or 0); an answer under
    another name only if the question is one of yes or no.

    >>> label_for("Is there a dog?", 1, is_label=False), label_for("How many dogs?", 1, is_label=True)
    ('yes', 1)
    >>> label_for("Dog in the picture", "0", is_label=True), label_for("3 minus 2?", "1", is_label=False)
    ('no', '1')
    """
    asked = question.lower()
    if _ASKED_OTHERWISE.search(asked) or not (is_label or _ASKS_YES_OR_NO.search(asked)):
        return value
    if isinstance(value, str) and said(value):
        return value  # "Yes" stays as it is written
    return label_of(value) or value


def words_of(text: str) -> list[str]:
    """The words of a reply in lower case, letters only.

    >>> words_of("Yes, there's no_dog: ＮＯ.")
    ['yes', 'there', 's', 'no', 'dog', 'no']
    """
    return _WORD.findall(unicodedata.normalize("NFKC", text).lower())


def said(text: str) -> list[str]:
    """Every yes and no among the words of a reply, in order.

    >>> said("No, yes would be wrong; not now")
    ['no', 'yes']
    """
    return [word for word in words_of(text) if word in ("yes", "no")]

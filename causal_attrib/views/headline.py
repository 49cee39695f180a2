"""What a caption comes to, in a few words: what the picture bears out, what it does not, what nobody can tell.

Only content words are spoken of. A word that stands in the caption twice is told apart by its place: “sofa” (2nd).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from causal_attrib.results.attribution import Attribution, Token, plain_word
from causal_attrib.views import drawing
from causal_attrib.views import explanations as meaning

# Effects on the outcome, which lies between 0 and 1, that are smaller than this are taken for none.
NOISE = 0.001
# So many words are named; of more it is said how many there are.
_MOST = 8
_MOST_CARRYING = 3
# What stands at a word and is none of it.
_PUNCTUATION = ".,;:!?"

_OF_VERDICT = {
    "grounded": "The picture bears out {words}.",
    "against the image": "It speaks against {words}.",
    "language prior": "Likely with and without the picture: {words}.",
    "undecided": "Nobody can tell: {words}.",
}
# Outcomes that are of an answer, and not of the caption itself.
_OF_ANSWERS = ("likelihood", "match")


@dataclass(frozen=True)
class Finding:
    """One sentence, and what it is about.

    kind: a verdict, or "carrying", "better without" or "" where there are none
    """

    kind: str
    text: str


def findings(attribution: Attribution) -> list[Finding]:
    """The sentences of the headline; at least one."""
    if not attribution.tokens:
        return [Finding("", "No word stands out.")]
    return _of_verdicts(attribution) if attribution.verdict is not None else _of_effects(attribution)


def headline(attribution: Attribution) -> str:
    """The sentences one after the other."""
    return " ".join(finding.text for finding in findings(attribution))


def reasons(attribution: Attribution, most: int = 5) -> list[tuple[str, str]]:
    """The words that a reader is warned of, each with a sentence that says why."""
    marks = drawing.marked(attribution)
    told = []
    for name, word in _content(attribution):
        marked = next((token for token in word if token.index in marks), None)
        if marked is not None:
            scores = ("evidence", "p_false") if attribution.verdict is not None else ("necessity",)
            told.append((name, " ".join(meaning.sentence(attribution, marked, score) for score in scores)))
    return told[:most]


def all_noise(attribution: Attribution) -> bool:
    """Whether effects were measured and each of them is smaller than `NOISE`."""
    effects = [value for token in attribution for value in (token.necessity, token.sufficiency) if value is not None]
    return bool(effects) and max(map(abs, effects)) < NOISE


def _of_verdicts(attribution: Attribution) -> list[Finding]:
    words = _content(attribution)
    found = []
    for kind, sentence in _OF_VERDICT.items():
        named = [name for name, word in words if word[0].verdict == kind]
        if named:
            found.append(Finding(kind, sentence.format(words=_listed(named, _MOST))))
    if found and found[0].kind == "against the image":
        found[0] = Finding(found[0].kind, found[0].text.replace("It", "The picture", 1))
    return found or [Finding("", "No word of the caption claims anything that a picture could bear out.")]


def _of_effects(attribution: Attribution) -> list[Finding]:
    if all_noise(attribution):
        name = "answer" if attribution.outcome.get("name") in _OF_ANSWERS else "outcome"
        return [Finding("", f"The {name} does not depend on the caption: every effect is smaller than {NOISE}.")]
    marks, words = drawing.contradicted(attribution), _content(attribution)
    harmful = [name for name, word in words if any(token.index in marks for token in word)]
    carrying = [
        (_worth(word), name)
        for name, word in words
        if _worth(word) >= NOISE and not any(token.index in marks for token in word)
    ]
    found = []
    if carrying:
        best = [name for _, name in sorted(carrying, key=lambda one: -one[0])[:_MOST_CARRYING]]
        found.append(Finding("carrying", f"Carried most by {', '.join(best)}."))
    if harmful:
        found.append(Finding("better without", f"Better without {_listed(harmful, _MOST)}."))
    return found or [Finding("", "No word stands out.")]


def _content(attribution: Attribution) -> list[tuple[str, list[Token]]]:
    """The content words in quotes, each with its tokens."""
    claims = drawing.claiming(attribution)
    words = [list(tokens) for _, tokens in groupby(attribution.tokens, key=lambda token: token.word)]
    words = [word for word in words if word[0].index in claims]
    texts = ["".join(token.text for token in word).strip() for word in words]
    texts = [text.strip(_PUNCTUATION) or text for text in texts]
    times = Counter(map(plain_word, texts))
    seen: Counter[str] = Counter()
    named = []
    for text, word in zip(texts, words, strict=True):
        plain = plain_word(text)
        seen[plain] += 1
        place = f" ({_ordinal(seen[plain])})" if times[plain] > 1 else ""
        named.append((f"“{drawing.visible(text)}”{place}", word))
    return named


def _ordinal(number: int) -> str:
    """
    >>> [_ordinal(number) for number in (1, 2, 3, 4, 11, 12, 21)]
    ['1st', '2nd', '3rd', '4th', '11th', '12th', '21st']
    """
    suffix = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{suffix}"


def _worth(word: Sequence[Token]) -> float:
    return sum(token.causal_completeness or 0.0 for token in word) / len(word)


def _listed(names: Sequence[str], most: int) -> str:
    told = ", ".join(names[:most])
    return told if len(names) <= most else f"{told} and {len(names) - most} more"

"""Which words of an English caption can claim something of the picture, and which only hold the sentence together.

A function word belongs to a closed class: article, determiner, pronoun, preposition, conjunction, auxiliary verb, the
particles "not" and "to", "there", question words, a few adverbs of degree, and the
words that speak of the picture itself ("the image shows"). Every other word is a content word:
nouns, full verbs, adjectives, adverbs, numbers, names, and all words of other languages. Prepositions of place ("on",
"under") count as function words although they claim a relation: they are what every caption has, and where they do
claim something it is told by the nouns beside them. Numbers ("two") are content: a count can be false.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_CLASSES = {
    "article": "a an the",
    "determiner": """
        this that these those each every either neither both some any all no other another such several much
        many more most few fewer less own same
    """,
    "pronoun": """
        i me my mine myself we us our ours ourselves you your yours yourself yourselves he him his himself she
        her hers herself it its itself they them their theirs themselves someone somebody something anyone
        anybody anything everyone everybody everything none nobody nothing who whom whose which what
    """,
    "preposition": """
        about above across after against along alongside amid among amongst around as at before behind below
        beneath beside besides between beyond by despite down during except for from in inside into like near of
        off on onto out outside over past per since through throughout to toward towards under underneath until
        up upon via with within without
    """,
    "conjunction": """
        and but or nor so yet if unless because although though while whereas whether than when where how
    """,
    "auxiliary": """
        am is are was were be been being have has had having do does did doing can could will would shall should
        may might must ought cannot
    """,
    "particle": "not there here also too very just only then quite rather even still",
    # What speaks of the picture itself: "the image shows a dog" claims the dog.
    "frame": """
        image images picture pictures photo photos photograph photographs scene view shows show showing shown depicts
        depict depicting features featuring
    """,
}
FUNCTION_WORDS = frozenset(word for words in _CLASSES.values() for word in words.split())

_MARKS = ' \t\n.,;:!?"()[]{}*_…“”‘-–—'
_CLITIC = re.compile(r"(?:n't|'(?:s|d|m|ll|re|ve|t)|')$")
# What "won't", "can't", "shan't" and "ain't" leave at their clitic.
_CUT = frozenset("wo ca sha ai".split())


def is_content(word: str) -> bool:
    """Whether a word may say something of the picture; punctuation and tags such as </think> do not.

    >>> [word for word in "A dog isn't on the red-hot grass , it's near two cats .".split() if is_content(word)]
    ['dog', 'red-hot', 'grass', 'two', 'cats']
    """
    if word.startswith("<") and word.endswith(">"):
        return False
    plain = word.lower().replace("’", "'").strip(_MARKS)
    stem = _CLITIC.sub("", plain)
    if not any(character.isalnum() for character in stem):
        return False
    return not {plain, stem} & FUNCTION_WORDS and stem not in _CUT


def first_mentions(words: Sequence[str]) -> list[int]:
    """For each word of a caption, in order, the place of the first one that claims the same; its own if none does.

    The same is claimed by the same word before the same content words, in any case: a red dog is not said by a red
    cat. Words that claim nothing are each the first.

    >>> first_mentions("a red dog . a red cat and a Dog .".split())
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 2, 10]
    """
    claims: dict[tuple[str, int], int] = {}
    claim_N: list[int | None] = []
    following = -1
    for word in reversed(words):
        # A word and the claim behind it stand for all content words up to the next function word.
        following = claims.setdefault((word.lower(), following), len(claims)) if is_content(word) else -1
        claim_N.append(None if following < 0 else following)
    first: dict[int, int] = {}
    return [place if claim is None else first.setdefault(claim, place) for place, claim in enumerate(reversed(claim_N))]

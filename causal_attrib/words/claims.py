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
from collections.abc import Iterator, Sequence

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

# Negations of what stands behind them, and of all that follows.
_NONE = frozenset("no without neither nor".split())
_NOT = frozenset("not never cannot none nobody nothing".split())
_BE = frozenset("am is are was were be been being".split())
# They tell where something is, which is another claim of each thing.
_PLACES = frozenset("left right top bottom front back middle center centre side corner foreground background".split())


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

    The same is claimed by the same word in the same run of content words, in any case, of another sentence: a red dog
    is not said by a red cat, and of two hats in one sentence none is the other. What follows a form of "be", and words
    that place a thing ("left"), speak of the content words before them in the sentence, which have to be the same too.
    What is denied says nothing again. Words that claim nothing are each the first.

    >>> first_mentions("a red dog . a red cat and a Red Dog .".split())
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 11]
    >>> first_mentions("the dog is black . the cat is black . a dog and a dog .".split())
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 1, 12, 13, 14, 15]
    """
    first: dict[tuple, int] = {}
    found = list(range(len(words)))
    denied_W = denied(words)
    for sentence in _sentences(words):
        here: dict[tuple, int] = {}
        about: tuple[str, ...] = ()
        for run in _runs(words, sentence):
            said = tuple(words[place].lower().strip(_MARKS) for place in run)
            before = words[run[0] - 1].lower().strip(_MARKS) if run[0] > sentence.start else ""
            subject = about if before in _BE or said[0] in _PLACES else None
            for order, place in enumerate(run):
                key = (said, order, subject or None)
                if key not in here and not denied_W[place]:
                    here[key] = place
                    found[place] = first.get(key, place)
            about = said
        for key, place in here.items():
            first.setdefault(key, place)
    return found


def denied(words: Sequence[str]) -> list[bool]:
    """Whether a word of an English caption stands under a negation: what "no" and "without" are said of, and all that
    follows "not" up to a mark or "but".

    >>> said = "no dog or cat on the grass , which is not wet".split()
    >>> [word for word, is_denied in zip(said, denied(said)) if is_denied]
    ['dog', 'cat', 'wet']
    """
    found, scope = [], ""
    for word in words:
        plain = word.lower().replace("’", "'").strip(_MARKS)
        content = is_content(word)
        found.append(content and bool(scope))
        if plain in _NONE or plain in _NOT or plain.endswith("n't"):
            scope = "run" if plain in _NONE else "clause"
        elif scope == "run" and found[-1]:
            scope = "behind"
        elif scope == "behind" and not content:
            # "no dog or cat": the next run is denied as well.
            scope = "run" if plain in ("or", "nor") else ""
        if plain == "but" or _ends(word, ".,;:!?"):
            scope = ""
    return found


def _ends(word: str, marks: str) -> bool:
    return word.rstrip().endswith(tuple(marks))


def _sentences(words: Sequence[str]) -> Iterator[range]:
    """By marks alone: `sentences.sentence_of_each` lets none begin with a small letter, as captions often do."""
    start = 0
    for place, word in enumerate(words, 1):
        if place == len(words) or _ends(word, ".!?"):
            yield range(start, place)
            start = place


def _runs(words: Sequence[str], sentence: range) -> Iterator[list[int]]:
    """Places of content words that stand side by side, a mark at the end of one ending the run."""
    run: list[int] = []
    for place in sentence:
        if is_content(words[place]):
            run.append(place)
        if run and (not is_content(words[place]) or _ends(words[place], _MARKS)):
            yield run
            run = []
    if run:
        yield run

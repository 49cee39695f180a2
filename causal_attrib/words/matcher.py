"""Which objects a caption names, by the rules of CHAIR.

Rohrbach et al., 2018, "Object Hallucination in Image Captioning", section 3.1, and their script. Both rules cut a
caption into Treebank tokens, take the singular of each, merge what belongs together ("hot dog"), drop every "seat"
where there is a "toilet", and keep what the lexicon has.

`official` does what the authors' script does, mistakes included: "bus" is never matched, since its singular comes out
as "bu"; only pairs of a fixed list are merged; a word with a capital or a stray space in the lexicon is never met.

`repaired` leaves a word alone that the lexicon has as it stands ("bus"), takes off an "s" where only that leads to one
("ties"), reads the lexicon without stray spaces and capitals, and merges every phrase of the lexicon, longest first,
written with hyphens too ("hot-dog"). Symbols and invisible characters do not hide a word (`repaired.py`). A guarded
lexicon, as the built-in one is, adds: no young animal is a person ("a baby duck"), "orange" names an object only where
it is no colour, and "train station" and its like name none. The outcome and the reward `objects` find objects so.

Unlike the script, both give the right place of every word: the script's indices are off once a "seat" was dropped.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, cached_property

from causal_attrib.errors import InputError
from causal_attrib.words.lexicon import Lexicon, read_lexicon
from causal_attrib.words.repaired import NO_OBJECT, OTHER_ANIMALS, is_the_colour, read_tokens
from causal_attrib.words.singular import singular, singular_in
from causal_attrib.words.treebank import TreebankToken, tokenize

RULES = ("official", "repaired")

# Pairs that the script merges, by the word that it reads them as. "home plate" is in no lexicon: it hides a plate.
_SAME = """
motor bike, motor cycle, air plane, traffic light, street light, traffic signal, stop light, fire hydrant, stop sign,
parking meter, suit case, sports ball, baseball bat, baseball glove, tennis racket, wine glass, hot dog, cell phone,
mobile phone, teddy bear, hair drier, potted plant, laptop computer, home plate, train track
"""
_ANIMALS = "bird cat dog horse sheep cow elephant bear zebra giraffe animal cub".split()
_MERGED = {
    **{pair.strip(): pair.strip() for pair in _SAME.split(",")},
    **{f"{age} {animal}": animal for age in ("baby", "adult") for animal in _ANIMALS},
    **{f"passenger {vehicle}": vehicle for vehicle in ("jet", "train")},
    **{"bow tie": "tie", "toilet seat": "toilet", "wine glas": "wine glass"},
}


@dataclass(frozen=True)
class Mention:
    """A word or phrase of a caption that names an object.

    word:       the lexicon's word for it
    node:       its node word
    first, end: its tokens, `matcher.tokens(caption)[first:end]`
    start, stop: its characters, `caption[start:stop]`
    """

    word: str
    node: str
    first: int
    end: int
    start: int
    stop: int


class Matcher:
    """Finds the objects that captions name.

    >>> matcher = Matcher(Lexicon("tiny", (("bus",), ("dog", "puppy"), ("hot dog",), ("chair", "seat"), ("toilet",))))
    >>> [mention.node for mention in matcher.mentions("Two puppies and a hot dog on the seat of a bus")]
    ['dog', 'hot dog', 'chair']
    """

    def __init__(self, lexicon: Lexicon, rules: str = "official"):
        if rules not in RULES:
            raise InputError(f"There are no rules {rules!r}; choose one of {', '.join(RULES)}.")
        self.lexicon, self.rules = lexicon, rules
        if rules == "official":
            self._node_of, self._merged = lexicon.as_written(), _MERGED
        else:
            self._node_of = lexicon.tidied()
            self._merged = _merged_by_repaired_rules(self._node_of, lexicon.guarded)
            self._known = frozenset(part for phrase in [*self._node_of, *self._merged] for part in phrase.split())
        self._longest = max(len(phrase.split()) for phrase in self._merged)

    def mentions(self, caption: str) -> list[Mention]:
        """The objects that a caption names, in order, one for each time that it names one."""
        return self.read(caption)[0]

    def read(self, caption: str) -> tuple[list[Mention], int]:
        """Its mentions and its number of tokens, phrases merged and punctuation counted (OPERA's "Len")."""
        tokens = self.tokens(caption)
        merged = words = self._merge([self._singular(token.text) for token in tokens])
        if any(word == "toilet" for word, _, _ in words):
            words = [entry for entry in words if entry[0] != "seat"]
        if self.rules == "repaired" and self.lexicon.guarded:
            words = [entry for entry in words if not is_the_colour(tokens, entry[1])]
        mentions = [
            Mention(word, self._node_of[word], first, end, tokens[first].start, tokens[end - 1].end)
            for word, first, end in words
            if word in self._node_of
        ]
        return mentions, len(merged)

    def tokens(self, caption: str) -> list[TreebankToken]:
        """The tokens that the rules cut a caption into."""
        if self.rules == "official":
            return tokenize(caption)
        return read_tokens(caption, lambda word: self._singular(word) in self._known, guarded=self.lexicon.guarded)

    @cached_property
    def unmatched(self) -> tuple[str, ...]:
        """Words of the lexicon that name no object when a caption has them just so, such as "bus" under `official`."""
        return tuple(
            word
            for word, node in self.lexicon.tidied().items()
            if node not in {mention.node for mention in self.mentions(word)}
        )

    def count_unmatched(self, captions: Iterable[str]) -> dict[str, int]:
        """How often captions have each word of `unmatched`, the most frequent first, without those they lack."""
        if not self.unmatched:
            return {}
        longest_first = sorted(self.unmatched, key=len, reverse=True)
        pattern = re.compile(rf"(?<![\w-])(?:{'|'.join(map(re.escape, longest_first))})(?![\w-])")
        counts: dict[str, int] = {}
        for caption in captions:
            for word in pattern.findall(caption.lower()):
                counts[word] = counts.get(word, 0) + 1
        return dict(sorted(counts.items(), key=lambda item: -item[1]))

    def _singular(self, word: str) -> str:
        if self.rules == "official":
            return singular(word)
        if "-" in word and word not in self._known:
            closed = singular_in(word.replace("-", ""), self._known)  # "mini-bus" is a minibus
            if closed in self._known:
                return closed
            return "-".join(singular_in(part, self._known) for part in word.split("-"))
        return singular_in(word, self._known)

    def _merge(self, words: list[str]) -> list[tuple[str, int, int]]:
        """Words with the tokens they stand for, phrases merged from left to right, the longest first."""
        merged, first = [], 0
        while first < len(words):
            for end in range(min(first + self._longest, len(words)), first, -1):
                if (phrase := self._phrase(words[first:end])) in self._merged:
                    merged.append((self._merged[phrase], first, end))
                    break
            else:
                end = first + 1
                merged.append((words[first], first, end))
            first = end
        return merged

    def _phrase(self, words: list[str]) -> str:
        """As `_merged` has it; a word by itself is in there only under repaired rules, if it has a hyphen."""
        phrase = " ".join(words)
        return phrase if self.rules == "official" else phrase.replace("-", " ")


@cache
def coco_matcher() -> Matcher:
    """The matcher of the outcome and the reward `objects`: the built-in list of COCO's 80 classes, repaired rules.

    >>> [mention.node for mention in coco_matcher().mentions("A baby elephant eats hot-dogs by an orange bus")]
    ['elephant', 'hot dog', 'bus']
    """
    return Matcher(read_lexicon(), "repaired")


def _merged_by_repaired_rules(node_of: dict[str, str], guarded: bool) -> dict[str, str]:
    """What phrases are read as, hyphens written as spaces."""
    merged = dict(_MERGED)
    if guarded:
        animals = [word for word, node in node_of.items() if node in _ANIMALS and " " not in word]
        merged |= {phrase: phrase for phrase in NO_OBJECT}
        merged |= {f"{age} {animal}": animal for age in ("baby", "adult") for animal in [*OTHER_ANIMALS, *animals]}
    for word in node_of:
        if " " in word or "-" in word:
            # As tokens: "catcher's mitt" is met as "catcher 's mitt".
            merged[" ".join(token.text for token in tokenize(word)).replace("-", " ")] = word
    return merged

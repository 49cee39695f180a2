"""Which objects a caption names, by the rules of CHAIR.

Rohrbach et al., 2018, "Object Hallucination in Image Captioning", section 3.1, and their script. Both rules cut a
caption into Treebank tokens, take the singular of each, merge what belongs together ("hot dog"), drop every "seat"
where there is a "toilet", and keep what the lexicon has.

`official` does what the authors' script does, mistakes included: "bus" is never matched, since its singular comes out
as "bu"; only pairs of a fixed list are merged; a word with a capital or a stray space in the lexicon is never met.

`repaired` leaves a word alone that the lexicon has as it stands ("bus"), takes off an "s" where only that leads to one
("ties"), reads the lexicon without stray spaces and capitals, and merges every phrase of the lexicon, longest first.

Unlike the script, both give the right place of every word: the script's indices are off once a "seat" was dropped.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from causal_attrib.errors import InputError
from causal_attrib.words.lexicon import Lexicon
from causal_attrib.words.singular import singular, singular_in
from causal_attrib.words.treebank import tokenize

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
    first, end: its tokens, `tokenize(caption)[first:end]`
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
            phrases = [word for word in self._node_of if " " in word]
            # As tokens: "catcher's mitt" is met as "catcher 's mitt".
            cut = {phrase: " ".join(token.text for token in tokenize(phrase)) for phrase in phrases}
            self._merged = {**_MERGED, **{tokens: phrase for phrase, tokens in cut.items()}}
            self._known = frozenset(part for phrase in [*self._node_of, *self._merged] for part in phrase.split())
        self._longest = max(len(phrase.split()) for phrase in self._merged)

    def mentions(self, caption: str) -> list[Mention]:
        """The objects that a caption names, in order, one for each time that it names one."""
        return self.read(caption)[0]

    def read(self, caption: str) -> tuple[list[Mention], int]:
        """Its mentions and its number of tokens, phrases merged and punctuation counted (OPERA's "Len")."""
        tokens = tokenize(caption)
        merged = words = self._merge([self._singular(token.text) for token in tokens])
        if any(word == "toilet" for word, _, _ in words):
            words = [entry for entry in words if entry[0] != "seat"]
        mentions = [
            Mention(word, self._node_of[word], first, end, tokens[first].start, tokens[end - 1].end)
            for word, first, end in words
            if word in self._node_of
        ]
        return mentions, len(merged)

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
        return singular(word) if self.rules == "official" else singular_in(word, self._known)

    def _merge(self, words: list[str]) -> list[tuple[str, int, int]]:
        """Words with the tokens they stand for, phrases merged from left to right, the longest first."""
        merged, first = [], 0
        while first < len(words):
            for end in range(min(first + self._longest, len(words)), first + 1, -1):
                if (phrase := " ".join(words[first:end])) in self._merged:
                    merged.append((self._merged[phrase], first, end))
                    break
            else:
                end = first + 1
                merged.append((words[first], first, end))
            first = end
        return merged

"""The words by which a caption can name an object: the built-in list for COCO's 80 classes, or a synonyms file."""

from __future__ import annotations

import os
import unicodedata
from dataclasses import dataclass

from causal_attrib.errors import InputError
from causal_attrib.io.rows import read_text
from causal_attrib.words.coco import SYNONYMS

BUILT_IN = "coco80"


@dataclass(frozen=True)
class Lexicon:
    """Entries of words for the same object; the first of each is its node word, the name that ground truth has.

    guarded: the repaired rules also look at what stands beside a word ("orange bus", "train station", "baby duck", and
             the next sentence in "a dog.The"). The built-in list is; files are not, so that numbers measured with the
             synonyms of CHAIR's authors stay comparable.

    >>> pets = Lexicon("pets", (("dog", "puppy"), ("cat",)))
    >>> pets.node_of("Puppy"), pets.node_of("cow"), pets.nodes
    ('dog', None, ('dog', 'cat'))
    """

    name: str
    entries: tuple[tuple[str, ...], ...]
    guarded: bool = False

    @property
    def nodes(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(entry[0] for entry in self.entries))

    def as_written(self) -> dict[str, str]:
        """The node word of each word, spaces and capitals as in the file. A word of two entries belongs to the last."""
        return {word: entry[0] for entry in self.entries for word in entry}

    def tidied(self) -> dict[str, str]:
        """The same in lower case and with single spaces, so that every word can be met in a caption."""
        return {_tidy(word): node for word, node in self.as_written().items()}

    def node_of(self, name: str) -> str | None:
        """The node word of a name from the ground truth, or None."""
        return self.tidied().get(_tidy(name))


def read_lexicon(name: str | os.PathLike = BUILT_IN) -> Lexicon:
    """`coco80`, or a file in the format of CHAIR's `synonyms.txt`: a line per object, `node, word, word`.

    The built-in list is the one of the outcome `objects`, written for this project. Words are split at ", " and kept as
    written: a second space there makes a word unreachable under the official rules, as it does in the original file.
    """
    if name == BUILT_IN:
        return Lexicon(BUILT_IN, tuple(SYNONYMS.values()), guarded=True)
    lines = [line.strip() for line in read_text(name).splitlines()]
    entries = tuple(tuple(word for word in line.split(", ") if word.strip()) for line in lines if line)
    if not entries or not all(entries):
        raise InputError(f"{name} is no synonyms file; write a line per object, as in: dog, puppy, hound")
    return Lexicon(os.path.basename(name), entries)


def _tidy(word: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", word).lower().split())

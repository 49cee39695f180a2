"""Whether a caption names the objects that are there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from causal_attrib.errors import InputError
from causal_attrib.words.coco import CLASSES
from causal_attrib.words.matcher import coco_matcher


@dataclass(frozen=True)
class Objects:
    """r = F1 of the object classes a caption mentions against the annotated ones.

    precision = 1 - CHAIR_i of this caption by class (Rohrbach et al. 2018), recall = annotated classes that are named.
    COCO's vocabulary, found by the repaired rules (`words.matcher`); a caption without any object gets 0. Range [0, 1].
    """

    annotated: frozenset[str]
    name: ClassVar[str] = "objects"
    meaning: ClassVar[str] = "F1 of the objects mentioned against the annotated objects"
    needs_text: ClassVar[bool] = True

    def __call__(self, text: str) -> float:
        said = {mention.node for mention in coco_matcher().mentions(text)}
        return 2 * len(said & self.annotated) / (len(said) + len(self.annotated)) if said else 0.0


def annotated_objects(words: list[str]) -> frozenset[str]:
    """The COCO classes that `words` name.

    >>> sorted(annotated_objects(["puppy", "frisbees"]))
    ['dog', 'frisbee']

    Raises:
        InputError: a word names no COCO class, or there is no word.
    """
    classes = set()
    for word in words:
        found = [mention.node for mention in coco_matcher().mentions(word.replace("_", " "))]
        if len(found) != 1:
            raise InputError(
                f"{word!r} is no object of the COCO vocabulary; use names such as {', '.join(CLASSES[:4])}."
            )
        classes.add(found[0])
    if not classes:
        raise InputError("The list of annotated objects is empty; give the objects that are in the image.")
    return frozenset(classes)

"""AMBER's numbers for captions, in a lexical mode: words are compared, not meanings.

Wang et al. (2023), section 4.3, with n the nouns of a caption that AMBER's vocabulary has:

    CHAIR = nouns that are not in the image / nouns        over all captions; global safe words count as in the image
    Cover = annotated objects that are named / annotated objects
    Hal   = captions with a noun that is not in the image / captions
    Cog   = words models tend to make up that are named / all such words

The authors' script finds nouns with a part-of-speech tagger and also takes a noun as safe if its spaCy vector is close
to an annotated word's. Here a noun is any word of the vocabulary, in lower case and in the singular, and it stands for
every object whose name it is or to which AMBER relates it. An object that is annotated twice counts once.
So these numbers compare systems with each other and not with the paper.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from causal_attrib.evaluation.amber.files import Response
from causal_attrib.evaluation.intervals import Estimate, by_cluster, estimate, share
from causal_attrib.words.singular import singular_in
from causal_attrib.words.treebank import tokenize


@dataclass(frozen=True)
class Named:
    """The nouns of one caption, those of them that are not in its image, and the objects and targets that it names."""

    response: Response
    nouns: tuple[str, ...]
    hallucinated: tuple[str, ...]
    objects: frozenset[str]
    targets: frozenset[str]


@dataclass(frozen=True)
class CaptionScores:
    """In percent, from 0 to 100."""

    captions: int
    nouns: int
    chair: Estimate
    cover: Estimate
    hal: Estimate
    cog: Estimate


def named(response: Response, relations: dict[str, tuple[str, ...]], safe: Collection[str]) -> Named:
    """What a caption names.

    >>> from causal_attrib.evaluation.amber.files import AmberItem
    >>> item = AmberItem("1", objects=("dog", "grass"), targets=("ball",))
    >>> words = {"dog": ("puppy",), "grass": (), "ball": (), "cat": (), "light": ()}
    >>> found = named(Response(item, "Puppies chase balls in the light", "1"), words, {"light"})
    >>> found.nouns, found.hallucinated, sorted(found.objects), sorted(found.targets)
    (('puppy', 'ball', 'light'), ('ball',), ['dog'], ['ball'])
    """
    vocabulary = set(relations).union(*relations.values())
    words = [singular_in(token.text, vocabulary) for token in tokenize(response.text)]
    nouns = tuple(word for word in words if word in vocabulary)
    item = response.item
    in_image = set(item.objects).union(*(relations.get(word, ()) for word in item.objects))
    wrong = tuple(noun for noun in nouns if noun not in in_image and noun not in safe)
    return Named(
        response,
        nouns,
        wrong,
        objects=_standing_for(item.objects, set(nouns) - set(safe), relations),
        targets=_standing_for(item.targets, set(wrong), relations),
    )


def score_captions(found: Sequence[Named], *, resamples: int = 1000, seed: int = 0) -> CaptionScores:
    """The numbers of all captions, with intervals over images."""
    counts_NK = np.array([_counts(caption) for caption in found], float)
    sums_CK = by_cluster([caption.response.image for caption in found], counts_NK)
    estimates = estimate(sums_CK, _METRICS, resamples=resamples, seed=seed)
    return CaptionScores(captions=len(found), nouns=sum(len(caption.nouns) for caption in found), **estimates)


def _standing_for(words: Sequence[str], nouns: set[str], relations: dict[str, tuple[str, ...]]) -> frozenset[str]:
    return frozenset(word for word in words if nouns & {word, *relations.get(word, ())})


def _counts(caption: Named) -> tuple[int, ...]:
    """1, has a hallucination, nouns, hallucinated nouns, objects, objects named, targets, targets named."""
    item = caption.response.item
    wrong = len(caption.hallucinated)
    of_objects, of_targets = (len(item.objects), len(caption.objects)), (len(item.targets), len(caption.targets))
    return 1, wrong > 0, len(caption.nouns), wrong, *of_objects, *of_targets


# Columns of `_counts`.
_METRICS = {"chair": share(3, 2), "cover": share(5, 4), "hal": share(1, 0), "cog": share(7, 6)}

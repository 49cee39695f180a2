"""CHAIR: how many of the objects that captions name are not in the image.

Rohrbach et al., 2018, "Object Hallucination in Image Captioning", eq. 1, as their script counts (mentions, not sets):

    CHAIR_i = mentions whose object is not in the image / mentions      over all captions together
    CHAIR_s = captions with such a mention / captions                   captions that name nothing count below the line

with two numbers that later scripts add, over the sets of node words of each caption:

    recall    = objects in the image that are named / objects in the image
    precision = objects named that are in the image / objects named

All are in percent, from 0 to 100. A division by zero gives None, never a number.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from causal_attrib.errors import InputError
from causal_attrib.evaluation.intervals import Bounded, Estimate, Metric, by_cluster, estimate, share
from causal_attrib.io.image_names import known_as
from causal_attrib.io.rows import read_rows
from causal_attrib.words.matcher import Matcher, Mention

IMAGE_KEYS = ("image_id", "image")
CAPTION_KEYS = ("caption", "text", "answer")

_SENTENCE_END = re.compile(r"""[.!?]["'”’)\]]*(?=\s|$)""")


@dataclass(frozen=True)
class ChairCaption:
    """A caption under test. `system` names who wrote it: the values of the keys that captions are grouped by."""

    image: str
    text: str
    system: tuple[str, ...] = ()
    where: str = ""


@dataclass(frozen=True)
class JudgedCaption:
    """A caption, the objects it names, and those of its image."""

    caption: ChairCaption
    mentions: list[Mention]
    truth: frozenset[str]
    tokens: int

    @property
    def image(self) -> str:
        return self.caption.image

    @property
    def hallucinated(self) -> list[Mention]:
        return [mention for mention in self.mentions if mention.node not in self.truth]

    @property
    def chair_i(self) -> float:
        """Hallucinated mentions of this caption in percent; 0 if it names nothing, as in the script."""
        return 100 * (len(self.hallucinated) / len(self.mentions)) if self.mentions else 0.0


@dataclass(frozen=True)
class ObjectCounts:
    """How often captions name one object, and how often it is not there."""

    mentions: int
    hallucinated: int


@dataclass(frozen=True)
class ChairScores:
    """The scores of one system's captions."""

    system: tuple[str, ...]
    chair_s: Estimate
    chair_i: Estimate
    recall: Estimate
    precision: Estimate
    captions: int
    images: int
    mentions: int
    hallucinated: int
    without_mention: int
    tokens_per_caption: float
    objects: dict[str, ObjectCounts]  # by node word, the most hallucinated first


@dataclass(frozen=True)
class ChairDifference:
    """One system less another on the same images, in percentage points."""

    chair_s: Estimate
    chair_i: Estimate
    recall: Estimate
    precision: Estimate


def read_captions(
    path: str | os.PathLike,
    *,
    image_key: str | None = None,
    caption_key: str | None = None,
    group_by: Sequence[str] = (),
) -> list[ChairCaption]:
    """Captions from a file of rows, with the usual keys or those named."""
    captions = []
    for row in read_rows(path):
        image = row.need(IMAGE_KEYS if image_key is None else (image_key,), "--image-key")
        text = row.need(CAPTION_KEYS if caption_key is None else (caption_key,), "--caption-key")
        system = tuple(str(row.value[row.need((key,), "--group-by")]) for key in group_by)
        captions.append(ChairCaption(row.image(image), row.text(text), system, row.where))
    return captions


def drop_truncated(text: str) -> str:
    """A caption without the last sentence if that has no end, as papers with a limit of 64 tokens cut them.

    A caption that is one unfinished sentence stays.

    >>> drop_truncated("A dog runs. It has a red coll"), drop_truncated("two dogs")
    ('A dog runs.', 'two dogs')
    """
    ends = [match.end() for match in _SENTENCE_END.finditer(text)]
    return text[: ends[-1]] if ends else text


def judge(
    captions: Sequence[ChairCaption], truth: dict[str, frozenset[str]], matcher: Matcher, *, skip_unknown: bool = False
) -> list[JudgedCaption]:
    """Find the objects that each caption names.

    An image without ground truth is an `InputError` that lists such images, unless `skip_unknown` leaves their captions
    out: without ground truth every mention would silently count as hallucinated.
    """
    called = known_as((caption.image for caption in captions), truth)
    captions = [replace(caption, image=called.get(caption.image, caption.image)) for caption in captions]
    unknown = list(dict.fromkeys(caption.image for caption in captions if caption.image not in truth))
    if unknown and not skip_unknown:
        first = next(caption for caption in captions if caption.image == unknown[0])
        named = ", ".join(unknown[:5]) + (", ..." if len(unknown) > 5 else "")
        raise InputError(
            f"{len(unknown)} images have no ground truth ({named}; the first at {first.where}); "
            "add them to it, or leave them out with --unknown-images skip."
        )
    known = [caption for caption in captions if caption.image in truth]
    if not known:
        raise InputError("No image of the captions has ground truth; check that both files number images alike.")
    judged = []
    for caption in known:
        mentions, tokens = matcher.read(caption.text)
        judged.append(JudgedCaption(caption, mentions, truth[caption.image], tokens))
    return judged


def score(judged: Sequence[JudgedCaption], *, resamples: int = 1000, seed: int = 0) -> list[ChairScores]:
    """The scores of each system, in the order in which they first come. Intervals are over images."""
    systems: dict[tuple[str, ...], list[JudgedCaption]] = {}
    for caption in judged:
        systems.setdefault(caption.caption.system, []).append(caption)
    return [_of_system(system, captions, resamples, seed) for system, captions in systems.items()]


def difference(
    first: Sequence[JudgedCaption], second: Sequence[JudgedCaption], *, resamples: int = 1000, seed: int = 0
) -> ChairDifference:
    """The first system less the second; the same images are drawn for both."""
    images, others = ({caption.image for caption in system} for system in (first, second))
    if images != others:
        raise InputError(
            f"Two systems can be compared on the same images only, but {len(images ^ others)} have captions of one of "
            f"them (such as {min(images ^ others)}); give captions of the same images."
        )
    columns = len(_counts(first[0]))
    rows_NK = np.zeros((len(first) + len(second), 2 * columns))
    rows_NK[: len(first), :columns] = [_counts(caption) for caption in first]
    rows_NK[len(first) :, columns:] = [_counts(caption) for caption in second]
    clusters = [caption.image for caption in (*first, *second)]
    metrics = {name: _difference(metric, columns) for name, metric in _METRICS.items()}
    return ChairDifference(**estimate(by_cluster(clusters, rows_NK), metrics, resamples=resamples, seed=seed))


def notes(captions: Sequence[ChairCaption], judged: Sequence[JudgedCaption], matcher: Matcher) -> list[str]:
    """What a reader of the scores should know: words that cannot be matched, captions left out or naming nothing."""
    found = []
    lost = matcher.count_unmatched(caption.caption.text for caption in judged)
    if matcher.unmatched:
        words = ", ".join(f'"{word}"' for word in matcher.unmatched)
        times = ", ".join(f'"{word}" {count}' for word, count in lost.items()) or "none"
        found.append(f"the rules {matcher.rules} can never match {words}; in these captions: {times}.")
    if len(judged) < len(captions):
        images = {caption.image for caption in captions} - {caption.image for caption in judged}
        found.append(
            f"{len(captions) - len(judged)} captions of {len(images)} images without ground truth are left out."
        )
    if silent := sum(not caption.mentions for caption in judged):
        found.append(f"{silent} of {len(judged)} captions name no object of the lexicon; they lower CHAIR_s.")
    if empty := sum(not truth for truth in {caption.image: caption.truth for caption in judged}.values()):
        found.append(f"Images with no object in the ground truth: {empty}; every mention there is hallucinated.")
    return found


# Columns of `_counts`.
_METRICS = {"chair_s": share(1, 0), "chair_i": share(3, 2), "recall": share(4, 5), "precision": share(4, 6)}


def _difference(metric: Metric, columns: int) -> Bounded:
    return Bounded(lambda sums: metric(sums[..., :columns]) - metric(sums[..., columns:]), least=-100.0)


def _of_system(system: tuple[str, ...], judged: list[JudgedCaption], resamples: int, seed: int) -> ChairScores:
    counts_NK = np.array([_counts(caption) for caption in judged], float)
    images = [caption.image for caption in judged]
    named = Counter(mention.node for caption in judged for mention in caption.mentions)
    wrong = Counter(mention.node for caption in judged for mention in caption.hallucinated)
    return ChairScores(
        system=system,
        **estimate(by_cluster(images, counts_NK), _METRICS, resamples=resamples, seed=seed),
        captions=len(judged),
        images=len(set(images)),
        mentions=sum(named.values()),
        hallucinated=sum(wrong.values()),
        without_mention=sum(not caption.mentions for caption in judged),
        tokens_per_caption=sum(caption.tokens for caption in judged) / len(judged),
        objects={
            node: ObjectCounts(named[node], wrong[node])
            for node in sorted(named, key=lambda node: (-wrong[node], node))
        },
    )


def _counts(caption: JudgedCaption) -> tuple[int, ...]:
    """1, has a hallucination, mentions, hallucinated mentions, objects right, objects in the image, objects named."""
    nodes = {mention.node for mention in caption.mentions}
    wrong = len(caption.hallucinated)
    return 1, wrong > 0, len(caption.mentions), wrong, len(nodes & caption.truth), len(caption.truth), len(nodes)

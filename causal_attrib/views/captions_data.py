"""What the page on many captions shows, counted while their file is read: one caption is in memory at a time."""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import numpy as np

from causal_attrib.evaluation.intervals import Estimate, by_cluster, estimate, share
from causal_attrib.results.attribution import plain_word
from causal_attrib.results.caption_files import Scored
from causal_attrib.words.claims import is_content
from causal_attrib.words.matcher import coco_matcher

# In the order of their colours. What claims nothing has no verdict worth a colour.
VERDICTS = ("grounded", "language prior", "undecided", "against the image")
TYPES = ("object", "number", "colour", "other content word")
_AGAINST = VERDICTS.index("against the image")
_NUMBERS = frozenset("one two three four five six seven eight nine ten several many few".split())
_COLOURS = frozenset(
    "red orange yellow green blue purple pink brown black white grey gray gold silver beige tan".split()
)
# Of the tables and the pictures.
_WORDS, _PICTURES = 20, 24
_RESAMPLES = 500


@dataclass(frozen=True)
class WordCount:
    """How often a word was said, in how many images, and in what share of places (percent) it stands against them."""

    word: str
    times: int
    images: int
    against: Estimate


@dataclass
class Captions:
    """Many captions, counted.

    rows:      of each its id, image, text, p_false, value, words against, and words: (start, end, verdict, evidence,
               p_false, necessity); the first `limit` of them
    total:     how many there are in all
    by_type:   for each kind of word how many words got each verdict
    in_doubt:  the rows of the captions that are most probably false, the most doubtful first, one for each picture
    images:    `image` records of those
    notes:     what is known of how often verdicts err, and of how many captions
    """

    rows: list[list[Any]] = field(default_factory=list)
    total: int = 0
    pictures: int = 0
    words: int = 0
    p_false: list[float] = field(default_factory=list)
    value: list[float] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)
    by_type: dict[str, Counter[str]] = field(default_factory=dict)
    against: list[WordCount] = field(default_factory=list)
    in_doubt: list[tuple[int, dict]] = field(default_factory=list)
    models: list[str] = field(default_factory=list)
    notes: dict[str, int] = field(default_factory=dict)


def count_captions(captions: Iterable[Scored], limit: int | None = None) -> Captions:
    """Count the captions of a file.

    Args:
        limit: how many of them the page lists; all are counted.
    """
    found = Captions(by_type={kind: Counter() for kind in TYPES})
    objects = coco_matcher()
    types: dict[str, str] = {}
    pictures: set[str] = set()
    # By word and picture: how often it was said, and how often it stands against the picture.
    said: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(lambda: [0, 0]))
    doubtful: dict[str, tuple[float, int, dict]] = {}
    models: Counter[str] = Counter()
    notes: Counter[str] = Counter()
    for number, one in enumerate(captions):
        record = one.record
        image, verdict = record["image"], record.get("verdict")
        seen = image.get("sha256") or image.get("path") or one.caption_id
        pictures.add(seen)
        models[str(record["model"].get("id"))] += 1
        if verdict is not None:
            notes[verdict.get("note", "")] += 1
        found.outcomes[str(record["outcome"].get("name"))] += 1
        listed = _words(record)
        found.words += len(listed)
        for start, end, place, *_ in listed:
            word = plain_word(record["caption"][start:end])
            if place is None or not is_content(word):
                continue
            if word not in types:
                types[word] = _type_of(word, objects)
            found.by_type[types[word]][VERDICTS[place]] += 1
            counts = said[word][seen]
            counts[0] += 1
            counts[1] += place == _AGAINST
        p_false = None if verdict is None else verdict.get("p_false")
        value = record["outcome"].get("value")
        if p_false is not None:
            found.p_false.append(p_false)
            if p_false > doubtful.get(seen, (-1.0, 0, {}))[0]:
                doubtful[seen] = (p_false, number, image)
        if value is not None:
            found.value.append(value)
        found.total += 1
        if limit is None or number < limit:
            against = sum(word[2] == _AGAINST for word in listed)
            shown = [one.caption_id, image.get("path") or "", record["caption"]]
            found.rows.append([*shown, _short(p_false), _short(value), against, listed])
    found.pictures = len(pictures)
    found.models = [name for name, _ in models.most_common()]
    found.notes = {note: count for note, count in notes.most_common() if note}
    found.against = _most_against(said)
    most = heapq.nlargest(_PICTURES, doubtful.values(), key=lambda one: one[0])
    found.in_doubt = [(number, image) for _, number, image in most if number < len(found.rows)]
    return found


def _words(record: dict) -> list[list[Any]]:
    """The words of a caption: where each begins and ends, its verdict, evidence, p_false and necessity."""
    listed: list[list[Any]] = []
    for _, group in groupby(record["tokens"], key=lambda token: token["word"]):
        tokens = list(group)
        necessity = [token["necessity"] for token in tokens if token.get("necessity") is not None]
        scored: dict[str, Any] = next((token for token in tokens if token.get("verdict") is not None), {})
        verdict = scored.get("verdict")
        text = record["caption"][tokens[0]["char_start"] : tokens[-1]["char_end"]]
        start = tokens[0]["char_start"] + len(text) - len(text.lstrip())
        listed.append(
            [
                start,
                start + len(text.strip()),
                VERDICTS.index(verdict) if verdict in VERDICTS else None,
                _short(scored.get("evidence")),
                _short(scored.get("p_false")),
                _short(sum(necessity) / len(necessity) if necessity else None),
            ]
        )
    return listed


def _type_of(word: str, objects: Any) -> str:
    if word.isdecimal() or word in _NUMBERS:
        return "number"
    if word in _COLOURS:
        return "colour"
    return "object" if objects.mentions(word) else "other content word"


def _most_against(said: dict[str, dict[str, list[int]]]) -> list[WordCount]:
    """Words of two pictures or more, those that stand against them most often first, of these the larger share."""
    total = {word: [sum(counts) for counts in zip(*of.values(), strict=True)] for word, of in said.items()}
    several = [word for word, of in said.items() if len(of) >= 2 and total[word][1]]
    several.sort(key=lambda word: (-total[word][1], total[word][0], word))
    listed = []
    for word in several[:_WORDS]:
        counts_NK = np.array(list(said[word].values()), float)
        sums_CK = by_cluster(list(said[word]), counts_NK)
        found = estimate(sums_CK, {"against": share(1, 0)}, resamples=_RESAMPLES, seed=0)["against"]
        listed.append(WordCount(word, total[word][0], len(said[word]), found))
    return listed


def bins_of(values: Sequence[float], low: float, high: float, count: int = 20) -> list[int]:
    """How many values lie in each of so many bins from low to high; the last one has its upper end.

    >>> bins_of([0.0, 0.1, 0.6, 1.0], 0, 1, 2)
    [2, 2]
    """
    return np.histogram(np.asarray(values, float), bins=count, range=(low, high))[0].tolist()


def _short(value: float | None) -> float | None:
    """Three digits are what the page shows, and what keeps it small."""
    return None if value is None else float(f"{value:.3g}")

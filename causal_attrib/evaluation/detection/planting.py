"""Lies put into captions that people wrote: the other kind of hallucination, which the model did not write itself.

Each picture gives a pair: a true caption in which one object of the picture is named, and the same caption with an
object in its place that is not there, drawn from those of the other pictures. The two mentions are the units, so that
whatever stands around them is the same. A signal that finds such lies need not find those that a model writes, which it
believed itself.
"""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Mapping, Sequence

import numpy as np

from causal_attrib.errors import InputError
from causal_attrib.evaluation.chair.ground_truth import reference_captions
from causal_attrib.evaluation.detection.texts import (
    IMAGE_KEYS,
    TEXT_KEYS,
    Given,
    Pictured,
    Unit,
    called_in,
    mentions_of,
)
from causal_attrib.io.rows import read_rows
from causal_attrib.words.matcher import Matcher


def planted_pairs(
    path: str | os.PathLike[str],
    pictured: Sequence[Pictured],
    truth: Mapping[str, frozenset[str]],
    matcher: Matcher,
    seed: int,
) -> list[Pictured]:
    """The pictures that have a caption which names something in them, each with its pair.

    Args:
        path: COCO's captions, or rows with image and caption.
        seed: of the objects that are put in.

    Raises:
        InputError: no caption of the pictures names anything that is in them.
    """
    texts = _texts(path, truth)
    around = sorted(set().union(*(truth[one.image] for one in pictured)))
    pairs = []
    for one in pictured:
        absent = [node for node in around if node not in truth[one.image]]
        # Every image has draws of its own, whichever others there are.
        rng = np.random.default_rng([seed, zlib.crc32(one.image.encode())])
        for text in texts.get(one.image, ()):
            pair = _pair(text, truth[one.image], absent, matcher, rng)
            if pair is not None:
                pairs.append(Pictured(one.image, one.picture, pair))
                break
    if not pairs:
        raise InputError(
            f"No caption of {path} names an object that is in its picture, so that there is nothing to put a lie in "
            "the place of; give captions of the same pictures."
        )
    return pairs


def _texts(path: str | os.PathLike[str], truth: Mapping[str, frozenset[str]]) -> dict[str, list[str]]:
    """Captions by image."""
    rows = read_rows(path)
    if rows[0].unit == "annotation" or "annotations" in rows[0].value:
        # COCO's file: by the ids that its instances have too, whatever the pictures are called.
        return reference_captions(path)
    names = [row.image(row.need(IMAGE_KEYS)) for row in rows]
    called = called_in(truth, names)
    found: dict[str, list[str]] = {}
    for row, name in zip(rows, names, strict=True):
        if name in called:
            found.setdefault(called[name], []).append(row.text(row.need(TEXT_KEYS)))
    return found


def _pair(
    text: str, truth: frozenset[str], absent: Sequence[str], matcher: Matcher, rng: np.random.Generator
) -> tuple[Given, Given] | None:
    """The caption with the mention that is judged, and with a lie in its place."""
    text = text.strip()
    units = [unit for unit in mentions_of(text, truth, matcher) if not unit.is_false]
    if not units or not absent:
        return None
    true = units[int(rng.integers(len(units)))]
    for node in rng.permutation(absent):
        told = _put_in(text, true, str(node), matcher)
        if told is not None:
            return Given(text, units=(true,)), told
    return None


def _put_in(text: str, true: Unit, node: str, matcher: Matcher) -> Given | None:
    """None where the caption does not name the object then, as in "hot" before "dog"."""
    many = true.word.lower().endswith("s") and not true.node.endswith("s")
    word = node if not many else f"{node}es" if node.endswith(("s", "sh", "ch", "x")) else f"{node}s"
    before, behind = text[: true.start], text[true.stop :]
    article = re.search(r"\b([Aa])n?( +)$", before)
    if article is not None:
        before = before[: article.start()] + article[1] + ("n" if word[0] in "aeiou" else "") + article[2]
    if true.word[:1].isupper():
        word = word[0].upper() + word[1:]
    start = len(before)
    there = [one for one in matcher.mentions(before + word + behind) if one.node == node and one.start == start]
    if not there:
        return None
    return Given(before + word + behind, units=(Unit(start, start + len(word), word, node, True),))

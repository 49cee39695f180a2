"""Captions with one false word or phrase that the model is to name: rows for the reward `vicrit`.

ViCrit (arXiv 2506.10128): a true caption is changed in one place, and the model is shown the picture and the changed
caption. What is false is known, so that the answer is right or wrong. There a language model writes the changes; here
they come from `copo scenes`, which knows its pictures, or from a lexicon, whose objects take each other's place.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from causal_attrib.errors import InputError
from causal_attrib.io.rows import CAPTIONS, read_rows
from causal_attrib.training.data.reading import read_data
from causal_attrib.words.matcher import Matcher

_PROMPT = (
    'One word or phrase of this caption is not true of the image: "{caption}" Which one? Think first, then answer with '
    "that word or phrase alone."
)
_ARTICLE = re.compile(r"\b(an?)(\s+)$", re.IGNORECASE)
_VOWEL = re.compile(r"[aeio]|u(?!n[iu]|s|t[ei])", re.IGNORECASE)


@dataclass(frozen=True)
class FalseSpan:
    """A caption with one false word or phrase.

    was: what stood in its place
    """

    caption: str
    span: str
    was: str


def plant_false_span(
    caption: str, matcher: Matcher, generator: np.random.Generator, seen: Iterable[str] = ()
) -> FalseSpan | None:
    """Name another object in one place of a caption.

    The place is one of an object that is named once; in it comes an object of the lexicon that neither the caption nor
    `seen` names. A plural with s stays one, and "a" and "an" follow.

    Args:
        seen: objects that are in the picture, named or not.

    Returns:
        None if no object of the lexicon is named, or if all others are.

    >>> from causal_attrib.words.lexicon import Lexicon
    >>> pets = Matcher(Lexicon("pets", (("dog", "puppy"), ("elephant",))), "repaired")
    >>> plant_false_span("A puppy on grass.", pets, np.random.default_rng(0))
    FalseSpan(caption='An elephant on grass.', span='elephant', was='puppy')
    """
    mentions = matcher.mentions(caption)
    nodes = [mention.node for mention in mentions]
    free = [node for node in matcher.lexicon.nodes if node not in {*nodes, *seen}]
    single = [mention for mention in mentions if nodes.count(mention.node) == 1]
    written = [caption[mention.start : mention.stop] for mention in single]
    # Of other plurals ("people", "knives") the right form of another word is not known.
    plain = [
        (mention, "s" * (surface.lower() == f"{mention.word}s"))
        for mention, surface in zip(single, written, strict=True)
        if surface.lower() in (mention.word, f"{mention.word}s")
    ]
    if not free or not plain:
        return None
    mention, plural = plain[generator.integers(len(plain))]
    span = free[generator.integers(len(free))] + plural
    before, after = caption[: mention.start], caption[mention.stop :]
    article = _ARTICLE.search(before)
    if article:
        right = "an" if _VOWEL.match(span) else "a"
        before = before[: article.start()] + (right.capitalize() if article[1][0] == "A" else right) + article[2]
    elif not before.strip():
        span = span[0].upper() + span[1:]
    return FalseSpan(before + span + after, span, caption[mention.start : mention.stop])


def false_span_rows(
    data: str | os.PathLike, matcher: Matcher, seed: int = 0, image_root: str | os.PathLike | None = None
) -> tuple[list[dict], int]:
    """Rows with `image`, `prompt` and `answer` (the false span), and how many captions gave none.

    Args:
        data: a folder that `copo scenes` wrote, whose own false captions are taken; or rows with captions.
        matcher: of the lexicon, for the latter.

    Raises:
        InputError: a row has no caption, or no row has one that an object is named in.
    """
    folder = Path(data)
    if (folder / CAPTIONS).is_file():
        return [
            _row(
                str((folder / "images" / row.text("image")).resolve()),
                row.text("false_caption"),
                row.text("false_word"),
            )
            for row in read_rows(folder / CAPTIONS)
        ], 0
    rows, skipped = [], 0
    for number, row in enumerate(read_data(data, "answers", image_root), start=1):
        caption = _caption(row)
        if row.get("image") is None:
            raise InputError(f"{data} row {number} has several pictures; give each caption one.")
        if caption is None:
            raise InputError(f"{data} row {number} has no caption; give each picture one under 'caption'.")
        generator = np.random.default_rng([seed, number])
        one = plant_false_span(caption, matcher, generator, row.get("objects") or ())
        if one is None:
            skipped += 1
        else:
            rows.append(_row(row["image"], one.caption, one.span))
    if not rows:
        raise InputError(f"No caption of {data} names an object of the lexicon; give another --lexicon.")
    return rows, skipped


def _caption(row: dict) -> str | None:
    said: Sequence[dict] | str | None = row.get("chosen")
    return said if said is None or isinstance(said, str) else said[-1]["content"]


def _row(image: str, caption: str, span: str) -> dict:
    return {"image": image, "prompt": _PROMPT.format(caption=caption), "answer": span}

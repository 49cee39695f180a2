"""AMBER's files.

Wang et al., 2023, "AMBER: An LLM-free Multi-dimensional Benchmark for MLLMs Hallucination Evaluation".

An item is an image to describe, with the objects that are in it and those that models tend to make up, or a yes/no
question. Responses are rows with `id` and `response`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from causal_attrib.errors import InputError
from causal_attrib.io.json_files import read_json
from causal_attrib.io.parsing import shown
from causal_attrib.io.rows import Row, read_rows, read_text

GENERATIVE = "generative"
# AMBER's name of each type of question, and the paper's dimension that it belongs to.
_DIMENSIONS = {
    "discriminative-hallucination": ("existence",),
    "discriminative-attribute-state": ("attribute", "state"),
    "discriminative-attribute-number": ("attribute", "number"),
    "discriminative-attribute-action": ("attribute", "action"),
    "discriminative-relation": ("relation",),
    "relation": ("relation",),
}


@dataclass(frozen=True)
class AmberItem:
    """One item: an image to describe, or a question.

    objects, targets:   of an image to describe, what is in it and what models tend to make up about it
    dimensions, answer: of a question, what it is about and whether yes is right
    """

    key: str
    objects: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    dimensions: tuple[str, ...] = ()
    answer: bool | None = None

    @property
    def is_question(self) -> bool:
        return self.answer is not None


@dataclass(frozen=True)
class Response:
    """What a model said to an item."""

    item: AmberItem
    text: str
    image: str


@dataclass(frozen=True)
class Query:
    """What is asked about an image."""

    key: str
    image: str
    text: str
    where: str


def read_items(path: str | os.PathLike) -> dict[str, AmberItem]:
    """The items of `annotations.json` by id."""
    items: dict[str, AmberItem] = {}
    for row in read_rows(path):
        item = _item(row)
        if item.key in items:
            raise InputError(f"{row.where} has the id {item.key!r} a second time; ids must differ.")
        items[item.key] = item
    return items


def read_responses(
    path: str | os.PathLike, items: dict[str, AmberItem], images: dict[str, str] | None = None
) -> list[Response]:
    """The responses of a file with their items. `images` gives the image of each id; without it, items stand alone."""
    responses: list[Response] = []
    seen: dict[str, str] = {}
    for row in read_rows(path):
        key = str(row.value[row.need(("id",))])
        if key not in items:
            raise InputError(
                f"{row.where} has the id {key!r}, which the annotations lack; give the annotations of its set."
            )
        if key in seen:
            raise InputError(f"{row.where} has the id {key!r} of {seen[key]}; give one response per id.")
        if images is not None and key not in images:
            raise InputError(f"{row.where} has the id {key!r}, which the queries lack; give the queries of its set.")
        seen[key] = row.where
        text = row.text(row.need(("response",)))
        responses.append(Response(items[key], text, key if images is None else images[key]))
    return responses


def read_images(path: str | os.PathLike) -> dict[str, str]:
    """The image of each id, from a query file."""
    return {str(row.value[row.need(("id",))]): row.image(row.need(("image",))) for row in read_rows(path)}


def read_queries(path: str | os.PathLike) -> list[Query]:
    """The rows of a query file: what a model is to be asked."""
    return [
        Query(
            key=str(row.value[row.need(("id",))]),
            image=row.image(row.need(("image",))),
            text=row.text(row.need(("query",))),
            where=row.where,
        )
        for row in read_rows(path)
    ]


def read_relations(path: str | os.PathLike) -> dict[str, tuple[str, ...]]:
    """For each word of AMBER's vocabulary, the words that also stand for it (`relation.json`), in lower case."""
    relations = read_json(path, "give AMBER's relation.json")
    if not isinstance(relations, dict) or not all(_is_words(words) for words in relations.values()):
        raise InputError(f"{path} does not map words to lists of words; give AMBER's relation.json.")
    return {word.lower(): tuple(other.lower() for other in others) for word, others in relations.items()}


def read_safe_words(path: str | os.PathLike) -> frozenset[str]:
    """Words that never count as hallucinated (`safe_words.txt`, one a line)."""
    return frozenset(line.strip().lower() for line in read_text(path).splitlines() if line.strip())


def always_no(responses: Sequence[Response]) -> list[Response]:
    """The same questions, all answered with No: what a benchmark number has to beat."""
    return [Response(response.item, "No", response.image) for response in responses]


def _item(row: Row) -> AmberItem:
    key, kind = str(row.value[row.need(("id",))]), row.value[row.need(("type",))]
    truth = row.value[row.need(("truth",))]
    if kind == GENERATIVE:
        made_up = row.value[row.need(("hallu",))]
        if not _is_words(truth) or not _is_words(made_up):
            raise InputError(f"{row.where} has no lists of words under 'truth' and 'hallu'; give AMBER's annotations.")
        objects, targets = (tuple(dict.fromkeys(word.lower() for word in words)) for words in (truth, made_up))
        return AmberItem(key, objects=objects, targets=targets)
    if not isinstance(kind, str) or kind not in _DIMENSIONS:
        raise InputError(f"{row.where} has the type {shown(kind)}, which AMBER lacks; give AMBER's annotations.")
    if truth not in ("yes", "no"):
        raise InputError(f"{row.where} has {shown(truth)} under 'truth'; give yes or no.")
    return AmberItem(key, dimensions=_DIMENSIONS[kind], answer=truth == "yes")


def _is_words(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(word, str) for word in value)

"""What AMBER asks a model: every query about its picture."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence

from causal_attrib.errors import InputError
from causal_attrib.evaluation.amber.files import Query
from causal_attrib.evaluation.prompts import Folder, Prompt


def of_queries(folder: str | os.PathLike[str], queries: Sequence[Query], items: Collection[str]) -> list[Prompt]:
    """Ask every query about its picture; their ids must all be among those of `items`."""
    pictures = Folder(folder)
    for query in queries:
        if query.key not in items:
            raise InputError(
                f"{query.where} has the id {query.key!r}, which the annotations lack; give the annotations of its set."
            )
    return [Prompt(pictures.find(query.image, query.where), query.text, {"id": query.key}) for query in queries]

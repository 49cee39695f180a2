"""Captions that are in memory or in a file to attributions, one after the other."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from causal_attrib.batch.caption_rows import CaptionRow, caption_rows, groups_of, read_captions
from causal_attrib.batch.scorer import Scorer
from causal_attrib.errors import InputError
from causal_attrib.io.failures import Failure
from causal_attrib.io.journalled import REASON
from causal_attrib.io.parsing import one_line, shown
from causal_attrib.results.attribution import Attribution
from causal_attrib.results.caption_tables import attribution_of

if TYPE_CHECKING:
    from causal_attrib.vlm import VLM

# Rows of an iterable that are looked at together: captions of one picture among them share a reading of it.
_AT_ONCE = 256


def score_many(
    rows: str | os.PathLike | Iterable[Mapping[str, Any]] | Any,
    *,
    model: str | VLM | None = None,
    prompt: str | None = None,
    question: str | None = None,
    answer: str | None = None,
    objects: list[str] | None = None,
    progress: bool = True,
    fetch: bool = False,
    on_failure: Callable[[Failure], None] | None = None,
    **scoring: Any,
) -> Iterator[Attribution | None]:
    """Score many captions; attributions come in the order of the rows, as they are done.

    Args:
        rows: dictionaries with the columns of docs/batch.md (`image`, `caption`, ...), a pandas frame, a `Dataset` of
            Hugging Face, or what `copo score --input` takes. An `image` may also be a PIL image or an array.
        model: a loaded `VLM`, a folder or hub id, None for the bundled model.
        prompt, question, answer, objects: of rows that lack them, as in `causal_attrib.score`.
        progress: show a bar.
        fetch: fetch pictures that rows name by address.
        on_failure: called with each row that fails, in whose place None comes; without it the first one is an error.
        scoring: further keywords of `causal_attrib.score`: outcome, mask, verdict, ...

    Raises:
        InputError: what is wrong with the rows or the settings.
    """
    asked = {"prompt": prompt, "question": question, "answer": answer, "objects": objects}
    windows, total, fetches = _windows(rows)
    scorer = Scorer(model, asked=asked, fetch=fetch or fetches, **scoring)
    return _scored(scorer, windows, total, asked, progress, on_failure)


def _scored(
    scorer: Scorer,
    windows: Iterator[list[CaptionRow]],
    total: int | None,
    asked: Mapping[str, Any],
    progress: bool,
    on_failure: Callable[[Failure], None] | None,
) -> Iterator[Attribution | None]:
    from tqdm.auto import tqdm

    with tqdm(total=total, desc="Scoring", unit="caption", disable=not progress) as bar:
        for window in windows:
            groups = dict(enumerate(groups_of(window, asked)))
            found: dict[int, dict] = {}
            waiting = iter(window)
            row = next(waiting, None)
            for key, outcomes in scorer.score_groups(groups):
                found.update(zip((one.number for one in groups[key]), outcomes, strict=True))
                bar.update(len(outcomes))
                while row is not None and row.number in found:
                    yield _attribution(row, found.pop(row.number), on_failure)
                    row = next(waiting, None)


def _attribution(row: CaptionRow, outcome: dict, on_failure: Callable[[Failure], None] | None) -> Attribution | None:
    if REASON not in outcome:
        return attribution_of(outcome)
    reason = one_line(outcome[REASON])
    if on_failure is None:
        raise InputError(f"{row.where} failed: {reason}")
    on_failure(Failure(row.number, row.caption_id, row.image, row.where, reason))
    return None


def _windows(rows: Any) -> tuple[Iterator[list[CaptionRow]], int | None, bool]:
    """Rows some at a time, how many there are if that is known, and whether their pictures may be fetched."""
    if isinstance(rows, (str, os.PathLike)):
        given = read_captions(rows)
        return iter([given.rows]), len(given.rows), given.fetches
    total = len(rows) if hasattr(rows, "__len__") else None
    if hasattr(rows, "cast_column"):
        from causal_attrib.io.sources import plain_rows

        each: Iterable[Mapping[str, Any]] = plain_rows(rows)
    elif hasattr(rows, "to_dict") and hasattr(rows, "columns"):
        each = (
            {name: None if isinstance(value, float) and value != value else value for name, value in row.items()}
            for row in rows.to_dict("records")
        )
    elif isinstance(rows, (Mapping, bytes)) or not isinstance(rows, Iterable):
        raise InputError(f"The rows are {shown(rows)}; give dictionaries with image and caption, or a path.")
    else:
        each = rows

    def windows() -> Iterator[list[CaptionRow]]:
        first, waiting, seen = 0, iter(each), set[str]()
        while some := list(itertools.islice(waiting, _AT_ONCE)):
            window = caption_rows(some, "the rows", first=first)
            for row in window:
                if row.caption_id in seen:
                    raise InputError(f"{row.where} has the id {row.caption_id!r} of an earlier row; ids must differ.")
                seen.add(row.caption_id)
            first += len(some)
            yield window

    return windows(), total, False

"""Long work in groups, each of which a journal keeps whole: files of captions, and what a model says to many pictures.

How sums are rounded depends on what is in a forward, so half a group, finished later, could differ in the last digit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol, TypeVar, cast

from causal_attrib.io.journal import Journal

# What came of an item: what the work says of it, or why there is nothing, under `REASON`.
Outcome = dict
REASON = "reason"


class HasRecord(Protocol):
    """A loaded model, as far as the journal knows it: what a result says of it."""

    @property
    def record(self) -> dict: ...


Item = TypeVar("Item")
Model = TypeVar("Model", bound=HasRecord)


def finish(
    journal: Journal,
    groups: Mapping[str, Sequence[Item]],
    load: Callable[[], Model],
    work: Callable[[Model, Sequence[Item]], list[Outcome]],
    *,
    on_failure: Callable[[Item, str], None],
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Do the groups that the journal lacks, and put each on disk before the next begins.

    Args:
        groups: by the keys that the journal knows them by.
        load: gives the model; called only if a group is left. The journal holds it against the model of earlier runs.
        work: from the model and a group to an outcome for each item of it.
        on_failure: called with an item that failed and the reason, when it does. Its group is done again by the next
            run.
        progress: called with (items done, items in all).

    Returns:
        How many items an earlier run had done.
    """

    def one_by_one(left: Mapping[str, Sequence[Item]]) -> Iterator[tuple[dict | None, str, list[Outcome]]]:
        model = load()
        journal.agree("model", model.record)
        for key, group in left.items():
            yield model.record, key, work(model, group)

    return finish_with(journal, groups, one_by_one, on_failure=on_failure, progress=progress)


def finish_with(
    journal: Journal,
    groups: Mapping[str, Sequence[Item]],
    work: Callable[[Mapping[str, Sequence[Item]]], Iterator[tuple[dict | None, str, list[Outcome]]]],
    *,
    on_failure: Callable[[Item, str], None],
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """The same where several models may be at work, which do groups in any order.

    Args:
        work: from the groups that are left to the record of the model (None if it is not known), the key of a group
            that is done, and what came of it.
    """
    left = {key: group for key, group in groups.items() if key not in journal.done}
    total = sum(map(len, groups.values()))
    before = done = total - sum(map(len, left.values()))
    if not left:
        return before
    agreed = None
    for record, key, outcomes in work(left):
        if record is not None and record != agreed:
            journal.agree("model", record)
            agreed = record
        journal.add(key, outcomes, done=all(REASON not in outcome for outcome in outcomes))
        for item, outcome in zip(groups[key], outcomes, strict=True):
            if REASON in outcome:
                on_failure(item, outcome[REASON])
        done += len(outcomes)
        if progress is not None:
            progress(done, total)
    return before


def outcomes_of(journal: Journal, key: str) -> list[Outcome]:
    """What came of the items of a group, in their order."""
    return cast("list[Outcome]", journal[key])

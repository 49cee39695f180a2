"""Score a file of captions: a row that fails does not stop the others, and a run that was killed goes on.

A few captions at a time are run together, those of one picture and prompt side by side, so that the picture is read
once and forwards are full. Such a group is what shards share out and what the journal keeps whole (`io.journalled`).
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from causal_attrib.batch import caption_rows
from causal_attrib.batch.caption_rows import CaptionRow, groups_of, read_captions, shard_of
from causal_attrib.batch.scorer import ASKED, Scorer
from causal_attrib.batch.workers import Groups, Result, count_of, in_processes, in_this_process
from causal_attrib.errors import InputError
from causal_attrib.io.atomic import check_not_input, is_stream
from causal_attrib.io.failures import Failure, write_failures
from causal_attrib.io.journal import Journal, digest
from causal_attrib.io.journalled import REASON, finish_with, outcomes_of
from causal_attrib.io.parsing import one_line
from causal_attrib.io.pictures import pixel_limit
from causal_attrib.results import caption_files
from causal_attrib.results.caption_tables import blocks_of
from causal_attrib.scores.inputs import calibration_of, check_asked_of
from causal_attrib.scores.settings import Settings

if TYPE_CHECKING:
    from causal_attrib.vlm import VLM


@dataclass(frozen=True)
class Done:
    """What came of a file: how many captions were scored, how many of them by an earlier run, and what failed.

    `verdict` is how the verdicts of the first caption were reached, and `signals` which it has; None where none were
    asked for.
    """

    scored: int
    before: int
    failures: list[Failure]
    verdict: dict | None = None
    signals: dict | None = None


def score_file(
    source: str | os.PathLike,
    output: str | os.PathLike,
    load: Callable[[], VLM],
    *,
    asked: dict | None = None,
    scoring: dict | None = None,
    model: dict | None = None,
    limit: int | None = None,
    shard: str = "1/1",
    fresh: bool = False,
    progress: Callable[[int, int], None] | None = None,
    on_failure: Callable[[Failure], None] = lambda failure: None,
    strict: bool = False,
    workers: int | str | None = None,
    ray: str | None = None,
    cpus_per_worker: int = 1,
    fetch: bool = False,
) -> Done:
    """Score every row of `source` (`caption_rows`) into `output` (.parquet, .csv or .jsonl, see `caption_files`).

    Finished groups are kept in a journal beside the output, so that a run that was killed is gone on with by calling
    this again; what is written in the end is the same, byte for byte. Rows that failed are in `OUTPUT.failed.jsonl`,
    and the journal stays while there are any, so that calling this again tries them again.

    Args:
        load: gives the model; it is called when all that is wrong with the files is found.
        asked: prompt, question, answer and objects of rows that lack them.
        scoring: keywords of `causal_attrib.score`: outcome, mask, ...
        model: what the model was asked for by, for the journal: a run with another model does not go on with it.
        limit: score only so many rows, the first ones.
        shard: the part of the groups to score, "2/8" for the second of eight.
        fresh: forget what an earlier run finished.
        progress: called with (rows done, rows in all).
        on_failure: called with each row that fails, when it does.
        strict: let through errors that no row is to blame for, to see where they come from.
        workers: processes that share the work, for which `load` must be a function that can be pickled; "auto" is one
            for each GPU, or what cores and memory allow. None is 1, and with `ray` as many as the cluster has room for.
        ray: share it by Ray Data, on the cluster at this address; "local" begins one here.
        fetch: fetch pictures that rows name by address (https://, s3://, ...); so it is for rows that were themselves
            given by address.
        cpus_per_worker: cores of a worker on a cluster without GPUs.

    Raises:
        InputError: a file that cannot be read or written, or a journal of other settings.
    """
    asked, scoring = asked or {}, scoring or {}
    settings = Settings(**scoring)
    calibration_of(settings)  # what is wrong with it is told before all else
    count: int | None
    if ray is None:
        count = count_of(1 if workers is None else workers, model or {})
    else:
        from causal_attrib.batch.on_ray import check_ray, on_ray

        check_ray()
        count = None if workers in (None, "auto") else count_of(workers, {})
    if caption_files.format_of(output) == "folder":
        caption_files.check_folder(output)
    elif is_stream(output):
        raise InputError(f"{output} is a device or a pipe, beside which no journal can be kept; give a file.")
    else:
        caption_files.check_tables(output)
    if limit is not None and limit < 1:
        raise InputError(f"The limit is {limit}, but it must be 1 or more.")
    given = read_captions(source, limit=limit)
    for file in caption_files.files_at(output):
        check_not_input(file, given.files)
    rows = given.rows[:limit]
    groups = {str(group[0].number): group for group in shard_of(groups_of(rows, asked), shard)}
    check_askable(rows, asked, settings)
    of_input = {"input": given.sha256, "rows": len(rows), "flags": digest({**asked, **scoring})}
    of_files = {
        "input": of_input["input"],
        "rows": len(rows),
        "folder": os.fspath(source) if os.path.isdir(source) else os.path.dirname(source),
        "shard": shard,
        "together": caption_rows.MOST_TOGETHER,
    }
    failures: list[Failure] = []
    first: list[dict] = []

    def fail(row: CaptionRow, reason: str) -> None:
        failures.append(Failure(row.number, row.caption_id, row.image, row.where, one_line(reason)))
        on_failure(failures[-1])

    with Journal(output, {**of_files, **asked, **scoring, **(model or {})}, fresh=fresh) as journal:
        make = functools.partial(
            Scorer,
            load,
            asked=asked,
            batch=of_input,
            strict=strict,
            fetch=fetch or given.fetches,
            max_pixels=pixel_limit(),
            **scoring,
        )

        def work(left: Groups) -> Iterator[Result]:
            if ray is not None:
                results = on_ray(make, left, ray, workers=count, cpus=cpus_per_worker)
            elif count is not None and count > 1:
                results = in_processes(make, left, count)
            else:
                scorer = make()
                journal.agree("model", _one_device(scorer.record) or {})
                results = in_this_process(scorer, left)
            return ((_one_device(record), key, outcomes) for record, key, outcomes in results)

        before = finish_with(journal, groups, work, on_failure=fail, progress=progress)
        failures.sort(key=lambda failure: failure.row)

        def noted() -> Iterator[dict]:
            for one in _in_order(journal, groups):
                first[:] = first or [one]
                yield one

        caption_files.write_blocks(output, blocks_of(noted()), kept=journal.kept)
        write_failures(output, failures)
        journal.close(remove=not failures)
    verdict, signals = ((first[0].get(name) if first else None) for name in ("verdict", "signals"))
    return Done(sum(map(len, groups.values())) - len(failures), before, failures, verdict, signals)


def check_askable(rows: Sequence[CaptionRow], asked: dict, settings: Settings) -> None:
    """Raises InputError if no row of the file can be scored for what goes with its caption, such as rows of training.

    Where only some cannot, they fail and do not stop the others.
    """
    first = None
    for row in rows:
        if row.fault is not None:
            return
        given = {name: getattr(row, name) for name in ASKED if getattr(row, name) is not None}
        question, answer, objects = (({**asked, **given}).get(name) for name in ("question", "answer", "objects"))
        if row.caption is None:
            # A caption that the model writes may reason, which is known when it has been written.
            if answer is None or question is not None or settings.coherence:
                return
            reason = (
                "an answer, but no caption and no question, like rows to train on: add the captions that are to be "
                "scored, or rename 'prompt' to 'question' to score a caption that the model writes by what it does to "
                "the answer"
            )
            first = first or f"{row.where} has {reason}"
        else:
            try:
                check_asked_of(settings, row.caption, question, answer, objects)
                return
            except InputError as error:
                first = first or f"{row.where}: {str(error).rstrip('.')}"
    if first is not None:
        raise InputError(f"{first}. So it is with every row.")


def _one_device(record: dict | None) -> dict | None:
    """What must be alike for a run to go on: not which of several devices of a kind there was at work."""
    return None if record is None else {**record, "device": str(record.get("device")).partition(":")[0]}


def _in_order(journal: Journal, groups: Mapping[str, Sequence[CaptionRow]]) -> Iterator[dict]:
    """The scored captions in the order of the input. Few groups are in memory at a time, however many there are."""
    found_at = {row.number: (key, index) for key, group in groups.items() for index, row in enumerate(group)}
    of_group = functools.lru_cache(maxsize=256)(functools.partial(outcomes_of, journal))
    for _, (key, index) in sorted(found_at.items()):
        outcome = of_group(key)[index]
        if REASON not in outcome:
            yield outcome

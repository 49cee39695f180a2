"""Score a file of captions: a row that fails does not stop the others, and a run that was killed goes on.

A few captions at a time are run together, those of one picture and prompt side by side, so that the picture is read
once and forwards are full. Such a group is what shards share out and what the journal keeps whole (`io.journalled`).
"""

from __future__ import annotations

import functools
import itertools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from causal_attrib.batch.caption_rows import CaptionRow, read_caption_rows, shard_of
from causal_attrib.errors import InputError
from causal_attrib.io.atomic import check_not_input, check_writable, is_stream
from causal_attrib.io.failures import Failure, reason_of, write_failures
from causal_attrib.io.journal import Journal, digest
from causal_attrib.io.journalled import REASON, finish, outcomes_of
from causal_attrib.io.parsing import one_line
from causal_attrib.io.pictures import Picture, read_picture
from causal_attrib.io.rows import files_of, sha256_of
from causal_attrib.results import caption_files
from causal_attrib.results.attribution import Attribution
from causal_attrib.results.caption_files import Scored
from causal_attrib.scores.inputs import calibration_of, check_asked_of
from causal_attrib.scores.settings import Settings

if TYPE_CHECKING:
    from causal_attrib.scores.caption_task import CaptionTask
    from causal_attrib.scores.verdict import Calibration
    from causal_attrib.vlm import VLM

# Captions of a group, at most: what a kill can cost. More would fill no forward better.
MOST_TOGETHER = 8

_ASKED = ("prompt", "question", "answer", "objects")


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

    Raises:
        InputError: a file that cannot be read or written, or a journal of other settings.
    """
    asked, scoring = asked or {}, scoring or {}
    settings = Settings(**scoring)
    calibration = calibration_of(settings)
    caption_files.format_of(output)
    if is_stream(output):
        raise InputError(f"{output} is a device or a pipe, beside which no journal can be kept; give a file.")
    check_writable(output)
    check_not_input(output, files_of(source))
    if limit is not None and limit < 1:
        raise InputError(f"The limit is {limit}, but it must be 1 or more.")
    rows = read_caption_rows(source)[:limit]
    groups = {str(group[0].number): group for group in shard_of(_groups(rows, asked), shard)}
    _check_askable(rows, asked, settings)
    of_input = {"input": sha256_of(source), "rows": len(rows), "flags": digest({**asked, **scoring})}
    of_files = {
        "input": of_input["input"],
        "rows": len(rows),
        "folder": os.fspath(source) if os.path.isdir(source) else os.path.dirname(source),
        "shard": shard,
    }
    failures: list[Failure] = []
    first: list[Scored] = []

    def fail(row: CaptionRow, reason: str) -> None:
        failures.append(Failure(row.number, row.caption_id, row.image, row.where, one_line(reason)))
        on_failure(failures[-1])

    with Journal(output, {**of_files, **asked, **scoring, **(model or {})}, fresh=fresh) as journal:
        before = finish(
            journal,
            groups,
            load,
            functools.partial(
                _score_group, asked=asked, settings=settings, calibration=calibration, of_input=of_input, strict=strict
            ),
            on_failure=fail,
            progress=progress,
        )
        failures.sort(key=lambda failure: failure.row)

        def noted() -> Iterator[Scored]:
            for one in _in_order(journal, groups):
                first[:] = first or [one]
                yield one

        caption_files.write(output, noted(), kept=journal.kept)
        write_failures(output, failures)
        journal.close(remove=not failures)
    verdict, signals = ((first[0].record.get(name) if first else None) for name in ("verdict", "signals"))
    return Done(sum(map(len, groups.values())) - len(failures), before, failures, verdict, signals)


def _check_askable(rows: Sequence[CaptionRow], asked: dict, settings: Settings) -> None:
    """Raises InputError if no row of the file can be scored for what goes with its caption, such as rows of training.

    Where only some cannot, they fail and do not stop the others.
    """
    first = None
    for row in rows:
        if row.fault is not None:
            return
        given = {name: getattr(row, name) for name in _ASKED if getattr(row, name) is not None}
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


def _groups(rows: Sequence[CaptionRow], asked: dict) -> list[list[CaptionRow]]:
    """Rows in groups; those of one picture and prompt stand together, in the order in which they first come."""
    alike: dict[tuple, list[CaptionRow]] = {}
    for row in rows:
        alike.setdefault((row.image, row.prompt or asked.get("prompt")), []).append(row)
    in_order = list(itertools.chain(*alike.values()))
    return [in_order[start : start + MOST_TOGETHER] for start in range(0, len(in_order), MOST_TOGETHER)]


def _score_group(
    vlm: VLM,
    group: Sequence[CaptionRow],
    *,
    asked: dict,
    settings: Settings,
    calibration: Calibration | None,
    of_input: dict,
    strict: bool,
) -> list[dict]:
    """For each row its scored caption, or the `reason` why there is none."""
    # Here, where there is a model: what is wrong with a file is told without torch.
    from causal_attrib.scores.caption_task import make_task

    def reason(error: Exception) -> dict:
        if strict and not isinstance(error, InputError):
            raise error
        return {REASON: reason_of(error)}

    def scored(row: CaptionRow, attribution: Attribution) -> dict:
        record = attribution.to_dict()
        del record["cost"]["seconds"]
        return Scored(row.caption_id, {"row": row.number, **of_input}, record).to_dict()

    outcomes: dict[int, dict] = {}
    tasks: dict[int, CaptionTask] = {}
    pictures: dict[str, Picture] = {}
    for row in group:
        if row.fault is not None:
            outcomes[row.number] = {"reason": row.fault}
            continue
        given = {name: getattr(row, name) for name in _ASKED if getattr(row, name) is not None}
        try:
            if row.image not in pictures:
                pictures[row.image] = read_picture(row.picture)
            tasks[row.number] = make_task(
                vlm, settings, pictures[row.image], row.caption, calibration=calibration, **{**asked, **given}
            )
        except Exception as error:
            outcomes[row.number] = reason(error)
    left = [row for row in group if row.number in tasks]
    try:
        attributions = _run(vlm, list(tasks.values()), settings)
        outcomes |= {row.number: scored(row, found) for row, found in zip(left, attributions, strict=True)}
    except Exception:
        # One of them is to blame; it does not stop the others.
        for row in left:
            try:
                outcomes[row.number] = scored(row, *_run(vlm, [tasks[row.number]], settings))
            except Exception as error:
                outcomes[row.number] = reason(error)
    return [outcomes[row.number] for row in group]


def _run(vlm: VLM, tasks: Sequence[CaptionTask], settings: Settings) -> list[Attribution]:
    if not tasks:
        return []
    from causal_attrib.engine import choose_engine
    from causal_attrib.scores.caption_task import run_tasks

    several = len({(task.encoding.picture.sha256, task.encoding.prompt) for task in tasks}) > 1
    engine = choose_engine(settings.engine, vlm, tasks[0].encoding, settings.batch_size, several=several)
    return run_tasks(engine, tasks)


def _in_order(journal: Journal, groups: Mapping[str, Sequence[CaptionRow]]) -> Iterator[Scored]:
    """The scored captions in the order of the input. Few groups are in memory at a time, however many there are."""
    found_at = {row.number: (key, index) for key, group in groups.items() for index, row in enumerate(group)}
    of_group = functools.lru_cache(maxsize=256)(functools.partial(outcomes_of, journal))
    for _, (key, index) in sorted(found_at.items()):
        outcome = of_group(key)[index]
        if REASON not in outcome:
            yield Scored.from_dict(outcome)

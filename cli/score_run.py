"""What `copo score` does with its flags: score one caption, or a file of them."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from causal_attrib_cli import common
from causal_attrib_cli.metrics import Metrics

if TYPE_CHECKING:
    from causal_attrib.io.failures import Failure
    from causal_attrib.results.attribution import Attribution
    from causal_attrib.scores.inputs import Inputs
    from causal_attrib.scores.settings import Settings
    from causal_attrib.vlm import VLM

_FOR_SEVERAL = ("html", "jsonl")
# Seconds between lines of progress where there is no terminal.
_EVERY = 30.0


class Lines:
    """Progress in lines, for logs: how many captions, how fast, how long it will take, and how many failed."""

    def __init__(self, *, as_json: bool):
        self._as_json, self._failed = as_json, 0
        self._first: tuple[float, int] | None = None
        self._told = 0.0

    @contextmanager
    def watch(self, *, quiet: bool) -> Iterator[common.Progress | None]:
        self._told = time.monotonic()
        yield None if quiet else self.note

    def note(self, done: int, total: int | None) -> None:
        now = time.monotonic()
        self._first = self._first or (now, done)
        if now - self._told < _EVERY:
            return
        self._told = now
        seconds, since = now - self._first[0], done - self._first[1]
        rate = since / seconds if seconds else 0.0
        left = (total - done) / rate if rate and total is not None else None
        if self._as_json:
            self.say(event="progress", done=done, total=total, per_second=rate, seconds_left=left, failed=self._failed)
        else:
            pace = f", {rate:.3g} a second" if rate else ""
            eta = "" if left is None else f", {duration(left)} left"
            common.tell(f"{done:,} of {total or 0:,} captions{pace}{eta}, {self._failed} failed")

    def fail(self, failure: Failure) -> None:
        self._failed += 1
        if self._as_json:
            self.say(event="failed", **asdict(failure))
        else:
            common.tell_failure(failure)

    def say(self, **event: Any) -> None:
        """A line of JSON on stderr."""
        now = datetime.now(timezone.utc).isoformat(timespec="seconds")
        sys.stderr.write(json.dumps({"time": now, **event}, ensure_ascii=False) + "\n")
        sys.stderr.flush()


def duration(seconds: float) -> str:
    """A time in words.

    >>> duration(40), duration(720), duration(12600)
    ('40 s', '12 min', '3.5 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


@dataclass(frozen=True)
class Gate:
    """What becomes of all captions of a run: a file with a row each, and exit code 3 if one is too probably false.

    summary:    the file
    fail_above: the largest probability that passes
    """

    summary: str | None
    fail_above: float | None

    @property
    def is_set(self) -> bool:
        return self.summary is not None or self.fail_above is not None

    def check(self, *, verdict: bool, beside: Sequence[str | None], inputs: Sequence[str | None]) -> None:
        """Raises InputError for values that cannot be."""
        from causal_attrib.errors import InputError

        if self.fail_above is not None and not verdict:
            raise InputError("--fail-above goes by the verdict on the caption; add --verdict.")
        if self.fail_above is not None and not 0 <= self.fail_above <= 1:
            raise InputError(f"--fail-above is {self.fail_above}, but a probability lies between 0 and 1.")
        if self.summary is not None:
            from causal_attrib.results.summary import check_summary

            check_summary(self.summary)
            common.check_outputs([*beside, self.summary], list(inputs))

    def write(self, records: Iterable[dict[str, Any]]) -> None:
        if self.summary is not None:
            from causal_attrib.results.summary import write_summaries

            write_summaries(self.summary, records)

    def judge(self, records: Iterable[dict[str, Any]], *, quiet: bool, written: bool = False) -> None:
        """Write the summary unless it was, and end with exit code 3 if a caption does not pass."""
        if not self.is_set:
            return
        kept = list(records)
        if not written:
            self.write(kept)
        if self.fail_above is None:
            return
        failed = [record for record in kept if record["verdict"]["p_false"] > self.fail_above]
        if failed:
            if not quiet:
                common.tell(
                    f"{len(failed)} of {len(kept)} captions are false with a probability above {self.fail_above:g}, "
                    f'first "{failed[0]["caption"][:80]}" ({failed[0]["verdict"]["p_false"]:.2f}).',
                    "red",
                )
            raise typer.Exit(3)


def files_of(out: str) -> list[str]:
    """All that a run with this output may write: its tables, its journal, and the list of what failed."""
    from causal_attrib.io.failures import failures_path
    from causal_attrib.io.journal import journal_path
    from causal_attrib.results.caption_files import captions_path

    if not Path(out).name:
        return [out]
    return [out, *(str(beside(out)) for beside in (captions_path, journal_path, failures_path))]


def check_mode(input: str | None, out: str | None, one: dict[str, Any], many: dict[str, Any]) -> None:
    """Flags of one caption and of many do not mix."""
    from causal_attrib.errors import InputError

    if input is None:
        if given := [flag for flag, value in many.items() if value]:
            raise InputError(f"{given[0]} is for a file of captions; add --input FILE, or leave {given[0]} out.")
        if one["IMAGE"] is None:
            raise InputError("There is nothing to score; give an IMAGE, or a file of captions with --input.")
    elif given := [flag for flag, value in one.items() if value]:
        raise InputError(f"{given[0]} is for one caption and --input for many; leave one of them out.")
    elif out is None and not many["--dry-run"]:
        raise InputError("--input needs a place for the scores; add --out FILE.parquet (or .csv, .jsonl).")


def score_one(
    image: str,
    captions: Sequence[str | None],
    load: Callable[[], VLM],
    asked: dict[str, Any],
    scoring: dict[str, Any],
    output: tuple[str | None, str | None],
    gate: Gate,
    *,
    server: tuple[str, str | None] | None = None,
    quiet: bool,
) -> None:
    """One caption, or several of one image, to a table, a file or a pipe (`output_of`).

    Args:
        server: the address of one and its token; None scores here.
    """
    from causal_attrib.results.formats import FIGURES, FORMATS, check_output
    from causal_attrib.scores.inputs import check_inputs
    from causal_attrib.scores.settings import Settings

    file, piped = output
    # What can be found wrong at once is found before torch is imported and the model loaded, which may take minutes.
    settings = Settings(**scoring)
    if file is not None:
        check_output(file, (*FORMATS, *FIGURES))
    inputs = check_inputs(settings, image, captions, **asked)
    if server is None:
        attributions = _score_here(load, settings, inputs, quiet=quiet)
    else:
        from causal_attrib.serve.client import score_by

        attributions = score_by(server[0], settings, inputs, server[1])
    if not quiet:
        if attributions[0].generated:
            common.tell(f'No caption was given, so the model wrote one: "{attributions[0].caption}"')
        _tell_of(attributions[0].verdict)
        _tell_left_out(attributions[0].signals)

    if file is not None:
        _save(attributions, file)
        if not quiet:
            common.tell(f"Wrote {file}")
    elif piped is not None:
        sys.stdout.buffer.write(_bytes(attributions, piped))
    else:
        from causal_attrib import views

        for attribution in attributions:
            common.stdout().print(views.table(attribution))
    gate.judge((attribution.to_dict() for attribution in attributions), quiet=quiet)


def _score_here(load: Callable[[], VLM], settings: Settings, inputs: Inputs, *, quiet: bool) -> list[Attribution]:
    vlm = load()
    from causal_attrib.scores import scoring as scores

    with common.progress("Scoring", quiet=quiet) as progress:
        return scores.score_inputs(
            vlm, settings, inputs, progress=progress, announce=None if quiet else common.announce
        )


def check_server(
    server: str, token: str | None, input: str | None, loading: dict[str, Any], scoring: dict[str, Any]
) -> None:
    """Flags of the model have no say in what a server's model is.

    Raises:
        InputError: flags that contradict each other, or an address that is none.
    """
    from causal_attrib.errors import InputError
    from causal_attrib.scores.settings import Settings
    from causal_attrib.serve.client import check_server as check

    if input is not None:
        raise InputError("--server scores one caption, and --input a file of them; leave one of them out.")
    usual = {"model": None, **{name: default for name, (_, default) in common.LOADING.items()}}
    for name, value in loading.items():
        if value != usual[name]:
            raise InputError(f"--{name.replace('_', '-')} is for a model here; leave it out, or leave --server out.")
    if token is not None and not (token.isascii() and token.isprintable()):
        raise InputError("The token has characters that no header can hold; give the one that copo serve printed.")
    check(server, Settings(**scoring))


def _save(attributions: Sequence[Attribution], file: str) -> None:
    from causal_attrib.io.atomic import replace_file
    from causal_attrib.results.formats import format_of

    if len(attributions) == 1:
        attributions[0].save(file)
    else:
        format = format_of(file)
        replace_file(file, _bytes(attributions, "jsonl" if format == "json" else format))


def _bytes(attributions: Sequence[Attribution], format: str) -> bytes:
    if len(attributions) == 1 or format == "jsonl":
        return b"".join(attribution.to_bytes(format) for attribution in attributions)
    from causal_attrib import views

    return views.report(attributions).encode()


def score_many(
    input: str,
    output: str,
    load: Callable[[], VLM],
    asked: dict[str, Any],
    scoring: dict[str, Any],
    model: dict[str, Any],
    where: dict[str, Any],
    gate: Gate,
    *,
    strict: bool,
    quiet: bool,
    log_json: bool = False,
    metrics: str | None = None,
) -> None:
    """Every row of a file, to another; `where` says which rows, and who scores them."""
    from causal_attrib.batch.run import score_file

    lines, kept = Lines(as_json=log_json), Metrics(metrics, output)
    on_terminal = sys.stderr.isatty() and not log_json
    watched = common.progress("Scoring", quiet=quiet) if on_terminal else lines.watch(quiet=quiet)
    try:
        with watched as progress:

            def note(done: int, total: int) -> None:
                kept.note(done, total)
                if progress is not None:
                    progress(done, total)

            def fail(failure: Failure) -> None:
                kept.fail()
                lines.fail(failure)

            done = score_file(
                input,
                output,
                load,
                asked=asked,
                scoring=scoring,
                model=model,
                **where,
                progress=note,
                on_failure=fail,
                strict=strict,
            )
            kept.finish()
    except KeyboardInterrupt:
        common.tell("Stopped. What is finished is kept; the same command goes on from there.", "yellow")
        raise typer.Exit(130) from None
    if log_json:
        lines.say(event="done", captions=done.scored, before=done.before, failed=len(done.failures), output=output)
    elif not quiet:
        before = f", {done.before} of them by an earlier run" if done.before else ""
        common.tell(f"Wrote {done.scored} captions to {output}{before}")
        _tell_of(done.verdict)
        _tell_left_out(done.signals)
    if gate.is_set:
        from causal_attrib.results import caption_files

        gate.write(scored.to_dict() for scored in caption_files.read(output, tokens=False))
    common.end_of_rows({output: done.failures})
    if gate.is_set:
        judged = (scored.to_dict() for scored in caption_files.read(output, tokens=False))
        gate.judge(judged, quiet=quiet, written=True)


def folder_for_ray(output: str, ray: str | None) -> str:
    """The output: with --ray a name without suffix is that of a folder."""
    return f"{output}/" if ray is not None and not Path(output).suffix and not output.endswith("/") else output


def forecast(
    input: str,
    output: str | None,
    load: Callable[[], VLM],
    asked: dict[str, Any],
    scoring: dict[str, Any],
    model: dict[str, Any],
    where: dict[str, Any],
    workers: int | str | None,
    *,
    log_json: bool,
) -> None:
    """What a run would take, measured on two groups; nothing is written."""
    from causal_attrib.batch.forecast import measure

    found = measure(
        input,
        output,
        load,
        asked=asked,
        scoring=scoring,
        model=model,
        workers=1 if workers is None else workers,
        **where,
    )
    if log_json:
        Lines(as_json=True).say(event="forecast", **asdict(found), per_second=found.per_second, hours=found.hours)
    common.stdout().print(found.told())


def _tell_of(verdict: dict[str, Any] | None) -> None:
    """Warn of verdicts that nothing is known of how often they err."""
    if verdict is not None and not verdict["calibrated"]:
        common.tell(f"Warning: the verdicts are {verdict['note']}.", "yellow")


def _tell_left_out(signals: dict[str, Any] | None) -> None:
    """Say which of all signals there are not, and why."""
    reasons: dict[str, list[str]] = {}
    for name, reason in (signals or {}).get("left_out", {}).items():
        reasons.setdefault(reason, []).append(name)
    for reason, names in reasons.items():
        common.tell(f"Left out: {', '.join(names)}, since {reason[:1].lower()}{reason[1:]}", "yellow")


def output_of(
    out: str | None, format: str | None, json: bool, *, several: bool = False
) -> tuple[str | None, str | None]:
    """The file to write or the format to pipe; neither means a table. Not every format has room for `several`."""
    from causal_attrib.errors import InputError
    from causal_attrib.results.formats import FORMATS

    if json and out is not None:
        raise InputError("--json writes to stdout and --out to a file; leave one of them out.")
    if json and format not in (None, "json"):
        raise InputError(f"--json and --format {format} contradict each other; leave one of them out.")
    if format is not None and not json and out != "-":
        raise InputError("--format is for --out -; a file's format is told by its suffix, so leave --format out.")
    if format is not None and format not in FORMATS:
        raise InputError(f"There is no format {format!r}; choose one of {', '.join(FORMATS)}.")
    if json or out == "-":
        out, piped = None, format or "json"
    else:
        piped = None
    kind = piped or (out and Path(out).suffix[1:].lower())
    if several and kind and kind not in _FOR_SEVERAL:
        raise InputError("Several captions have room in a .jsonl file or an .html report; choose one of these.")
    return out, piped

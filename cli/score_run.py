"""What `copo score` does with its flags: score one caption, or a file of them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from causal_attrib_cli import common

if TYPE_CHECKING:
    from causal_attrib.results.attribution import Attribution
    from causal_attrib.vlm import VLM

_FOR_SEVERAL = ("html", "jsonl")


def check_mode(input: str | None, one: dict[str, Any], many: dict[str, Any]) -> None:
    """Flags of one caption and of many do not mix."""
    from causal_attrib.errors import InputError

    if input is None:
        if given := [flag for flag, value in many.items() if value]:
            raise InputError(f"{given[0]} is for a file of captions; add --input FILE, or leave {given[0]} out.")
        if one["IMAGE"] is None:
            raise InputError("There is nothing to score; give an IMAGE, or a file of captions with --input.")
    elif given := [flag for flag, value in one.items() if value]:
        raise InputError(f"{given[0]} is for one caption and --input for many; leave one of them out.")
    elif many["--output"] is None:
        raise InputError("--input needs a place for the scores; add --output FILE.parquet (or .csv, .jsonl).")


def score_one(
    image: str,
    captions: Sequence[str | None],
    load: Callable[[], VLM],
    asked: dict[str, Any],
    scoring: dict[str, Any],
    output: tuple[str | None, str | None],
    *,
    quiet: bool,
) -> None:
    """One caption, or several of one image, to a table, a file or a pipe (`output_of`)."""
    from causal_attrib.results.formats import check_output
    from causal_attrib.scores.inputs import check_inputs
    from causal_attrib.scores.settings import Settings

    file, piped = output
    # What can be found wrong at once is found before torch is imported and the model loaded, which may take minutes.
    settings = Settings(**scoring)
    if file is not None:
        check_output(file)
    inputs = check_inputs(settings, image, captions, **asked)
    vlm = load()
    from causal_attrib.scores import scoring as scores

    with common.progress("Scoring", quiet=quiet) as progress:
        attributions = scores.score_inputs(
            vlm, settings, inputs, progress=progress, announce=None if quiet else common.announce
        )
    if not quiet:
        if attributions[0].generated:
            common.tell(f'No caption was given, so the model wrote one: "{attributions[0].caption}"')
        _tell_of(attributions[0].verdict)

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
    *,
    strict: bool,
    quiet: bool,
) -> None:
    """Every row of a file, to another; `where` says which rows."""
    from causal_attrib.batch.run import score_file

    try:
        with common.progress("Scoring", quiet=quiet) as progress:
            done = score_file(
                input,
                output,
                load,
                asked=asked,
                scoring=scoring,
                model=model,
                **where,
                progress=progress,
                on_failure=common.tell_failure,
                strict=strict,
            )
    except KeyboardInterrupt:
        common.tell("Stopped. What is finished is kept; the same command goes on from there.", "yellow")
        raise typer.Exit(130) from None
    if not quiet:
        before = f", {done.before} of them by an earlier run" if done.before else ""
        common.tell(f"Wrote {done.scored} captions to {output}{before}")
        _tell_of(done.verdict)
    common.end_of_rows({output: done.failures})


def _tell_of(verdict: dict[str, Any] | None) -> None:
    """Warn of verdicts that nothing is known of how often they err."""
    if verdict is not None and not verdict["calibrated"]:
        common.tell(f"Warning: the verdicts are {verdict['note']}.", "yellow")


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

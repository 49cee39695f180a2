"""What the benchmarks share: flags, how a number with its interval is shown, and where results go."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from causal_attrib_cli import common

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import RenderableType
    from rich.table import Table

    from causal_attrib.evaluation.intervals import Estimate
    from causal_attrib.evaluation.results import Result

_OUTPUT = "Output"

Bootstrap = Annotated[
    int, typer.Option("--bootstrap", metavar="N", help="Resamples of the images, for the 95 % intervals.")
]
Json = Annotated[
    bool, typer.Option("--json", help="JSON with all digits in place of a table.", rich_help_panel=_OUTPUT)
]
Out = Annotated[
    str | None,
    typer.Option(
        "--out",
        "-o",
        metavar="FILE.json",
        help="Also write the JSON to FILE.json; - is --json.",
        rich_help_panel=_OUTPUT,
    ),
]

_TRUTH = "What is in the images"

Objects = Annotated[
    str | None,
    typer.Option("--objects", metavar="FILE", help="Objects of each image.", rich_help_panel=_TRUTH),
]
Instances = Annotated[
    str | None,
    typer.Option("--instances", metavar="FILE", help="COCO instance annotations.", rich_help_panel=_TRUTH),
]
References = Annotated[
    str | None,
    typer.Option(
        "--references", metavar="FILE", help="COCO captions; what they name counts too.", rich_help_panel=_TRUTH
    ),
]
UnknownImages = Annotated[
    str,
    typer.Option(
        "--unknown-images",
        metavar="NAME",
        help="What images without ground truth are: error, skip.",
        rich_help_panel=_TRUTH,
    ),
]

LEGEND = "Percent, with 95 % bootstrap intervals over images."


def check_output(out: str | None) -> None:
    """Raise an `InputError` unless the JSON of a result can be written there: call it before the work, not after."""
    from causal_attrib.errors import InputError
    from causal_attrib.io.atomic import check_writable, is_stream

    if out is None or out == "-":
        return
    if not out.lower().endswith(".json") and not is_stream(out):
        raise InputError(f"A result is written as JSON; let the name of {out} end in .json.")
    check_writable(out)


def check_rows(path: str | None) -> None:
    """The same of JSON Lines."""
    from causal_attrib.io import json_files

    if path is not None:
        json_files.check_rows(path, "Rows")


def shown(estimate: Estimate, form: str = ".1f") -> str:
    """A number and its interval as a cell of a table; a dash where there is no number."""
    if estimate.value is None:
        return "-"
    if estimate.low is None:
        return format(estimate.value, form)
    return f"{estimate.value:{form}} [{estimate.low:{form}}, {estimate.high:{form}}]"


def table(title: str, headings: Iterable[str], rows: Iterable[Iterable[object]]) -> Table:
    """A table whose first column is text and whose others are numbers."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, title=Text(title), title_justify="left")
    for number, heading in enumerate(headings):
        grid.add_column(Text(heading), justify="right" if number else "left", overflow="fold")
    for row in rows:
        grid.add_row(*(Text(str(cell)) for cell in row))
    return grid


def report(result: Result, view: Iterable[RenderableType], *, json: bool, out: str | None, quiet: bool) -> None:
    """A result to stdout as tables or JSON, and to a file if asked; its warnings to stderr, and into the JSON."""
    from causal_attrib.io.json_files import to_json, write_json

    if out == "-":
        json, out = True, None
    record = result.to_dict()
    if not quiet:
        for warning in result.warnings:
            common.tell(f"Warning: {warning}", "yellow")
    if out is not None:
        write_json(out, record)
    if json:
        sys.stdout.write(to_json(record))
    else:
        console = common.stdout()
        for part in view:
            console.print(part)
    if out is not None and not quiet:
        common.tell(f"Wrote {out}")

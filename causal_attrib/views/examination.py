"""The view of an examination on a terminal: a row per check, and the verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from causal_attrib.views import drawing

if TYPE_CHECKING:
    from causal_attrib.doctor.report import Check, Report

_RESULTS = {True: ("ok", "green"), False: ("FAILED", "bold red"), None: ("skipped", "dim")}
_BOUNDS = {"at most": "≤", "at least": "≥", "": ""}


def examination(report: Report) -> Group:
    """A rich renderable of a report: print it with `rich.print`."""
    rows = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    rows.add_column("check", no_wrap=True)
    rows.add_column("result", no_wrap=True)
    rows.add_column("measured", justify="right", no_wrap=True)
    rows.add_column("tolerance", no_wrap=True)
    rows.add_column("what it means", overflow="fold", ratio=1)
    for check in report.checks:
        rows.add_row(
            check.name,
            Text(*(("warning", "yellow") if check.warns else _RESULTS[check.passed])),
            _short(check.measured),
            _tolerance(check),
            Text(drawing.visible(check.detail)),
        )
    model = ", ".join(
        str(report.model[key]) for key in ("id", "quantization", "dtype", "device", "attn") if report.model.get(key)
    )
    return Group(
        rows, Text.assemble(("model    ", "bold"), model), Text.assemble(("verdict  ", "bold"), _verdict(report))
    )


def _verdict(report: Report) -> Text:
    failed = [check.name for check in report.checks if check.passed is False]
    if failed:
        return Text(f"{', '.join(failed)} failed: mend that before you trust scores of this model", "bold red")
    skipped = sum(check.passed is None for check in report.checks)
    told = f"{len(report.checks) - skipped} checks passed, {skipped} skipped: scores of this model can be trusted"
    warned = [check.name for check in report.checks if check.warns]
    return Text(f"{told}, but see {', '.join(warned)}", "yellow") if warned else Text(told)


def _tolerance(check: Check) -> str:
    if check.tolerance is None:
        return ""
    return " ".join(part for part in (_BOUNDS[check.bound], _short(check.tolerance), check.unit) if part)


def _short(number: float | None) -> str:
    return "" if number is None else f"{number:.3g}"

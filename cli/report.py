"""`copo report`: a page on what was made before."""

from __future__ import annotations

from typing import Annotated

import typer

from causal_attrib_cli import common


def report(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN...", help="Output folders of copo train, also of runs that go on.", show_default=False
        ),
    ],
    out: Annotated[str, typer.Option("--out", "-o", metavar="FILE", help="The page to write.")] = "report.html",
    debug: common.Debug = False,
    quiet: common.Quiet = False,
) -> None:
    """A page on training runs, side by side: reward, scores, KL, length, seconds per phase, sampled completions."""
    with common.told_plainly(debug=debug, quiet=quiet):
        from causal_attrib_cli.report_runs import report_runs

        common.check_outputs([out], [])
        report_runs(sources, out)
        if not quiet:
            common.tell(f"Wrote {out}")

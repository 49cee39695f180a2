"""`copo report`: a page on what was made before."""

from __future__ import annotations

from typing import Annotated

import typer

from causal_attrib_cli import common
from causal_attrib_cli.report_captions import is_of_captions, report_captions


def report(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE...", help="A file of copo score --input, or two to compare.", show_default=False
        ),
    ],
    out: Annotated[str, typer.Option("--out", "-o", metavar="FILE", help="The page to write.")] = "report.html",
    limit: Annotated[
        int | None,
        typer.Option("--limit", metavar="N", help="List the first N captions; all are counted.", show_default="all"),
    ] = None,
    debug: common.Debug = False,
    quiet: common.Quiet = False,
) -> None:
    """A self-contained page on a file of captions: counts, verdicts, words against the image, a list to search.

    Of two files it shows what changed from the first to the second.
    """
    with common.told_plainly(debug=debug, quiet=quiet):
        from causal_attrib.errors import InputError

        common.check_outputs([out], list(sources))
        if all(map(is_of_captions, sources)):
            report_captions(sources, out, limit=limit, quiet=quiet)
        else:
            raise InputError(f"{sources[0]} is no file of scored captions; give what copo score --input wrote.")
        if not quiet:
            common.tell(f"Wrote {out}")

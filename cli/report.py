"""`copo report`: a page on scored captions, or on training runs."""

from __future__ import annotations

from typing import Annotated

import typer

from causal_attrib_cli import common
from causal_attrib_cli.report_captions import is_of_captions, report_captions


def report(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE...",
            help="A file of copo score --input, two of them to compare, or output folders of copo train.",
            show_default=False,
        ),
    ],
    out: Annotated[str, typer.Option("--out", "-o", metavar="FILE", help="The page to write.")] = "report.html",
    limit: Annotated[
        int | None,
        typer.Option("--limit", metavar="N", help="List the first N captions; all are counted.", show_default="all"),
    ] = None,
    json: common.Json = False,
    debug: common.Debug = False,
    quiet: common.Quiet = False,
) -> None:
    """A self-contained page on what was made before.

    Of scored captions: counts, verdicts, words against the image, a list to search; of two files what changed. Of
    training runs, side by side: reward, scores, KL, length, seconds per phase, sampled completions.
    """
    with common.told_plainly(debug=debug, quiet=quiet):
        from pathlib import Path

        from causal_attrib.errors import InputError

        for number, source in enumerate(sources):
            if Path(source).resolve() in [Path(other).resolve() for other in sources[:number]]:
                raise InputError(f"{source} is named twice; name each source once.")
        of_captions = [is_of_captions(source) for source in sources]
        if all(of_captions):
            common.check_outputs([out], list(sources))
            report_captions(sources, out, limit=limit, quiet=quiet)
        else:
            from causal_attrib_cli.report_runs import report_runs

            if any(of_captions):
                raise InputError("Scored captions and training runs make two pages; call the command once for each.")
            if limit is not None:
                raise InputError("--limit is for scored captions; leave it out for training runs.")
            common.check_outputs([out], [])
            report_runs(sources, out)
        common.told(f"Wrote {out}", {"out": out, "sources": list(sources)}, json=json, quiet=quiet)

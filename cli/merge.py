"""`copo merge`: the shards of a scored file as one."""

from __future__ import annotations

from typing import Annotated

import typer

from causal_attrib_cli import common


def merge(
    parts: Annotated[
        list[str], typer.Argument(metavar="PART...", help="What copo score --shard wrote.", show_default=False)
    ],
    out: Annotated[
        str | None, typer.Option("--out", "-o", metavar="FILE", help="File to write.", show_default="the first PART")
    ] = None,
    json: common.Json = False,
    debug: common.Debug = False,
    quiet: common.Quiet = False,
) -> None:
    """Join files that `copo score --input --shard` wrote, in the order of their input.

    FILE is what one run without --shard would have written. A row that is missing or there twice is an error.
    """
    with common.told_plainly(debug=debug, quiet=quiet):
        from causal_attrib.batch.merge import merge as join

        # Earlier versions took the place of the result as their first argument.
        output, *rest = parts if out is None else [out, *parts]
        if not rest:
            common.place(None, None, "FILE")
        count, failures = join(output, rest)
        record = {"out": output, "captions": count, "failed": len(failures)}
        common.told(f"Wrote {count} captions to {output}", record, json=json, quiet=quiet)
        for failure in failures:
            common.tell_failure(failure)
        common.end_of_rows({output: failures})

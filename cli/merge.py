"""`copo merge`: the shards of a scored file as one."""

from __future__ import annotations

from typing import Annotated

import typer

from causal_attrib_cli import common


def merge(
    output: Annotated[str, typer.Argument(metavar="OUT", help="File to write.", show_default=False)],
    parts: Annotated[
        list[str], typer.Argument(metavar="PART...", help="What copo score --shard wrote.", show_default=False)
    ],
    debug: common.Debug = False,
    quiet: common.Quiet = False,
) -> None:
    """Join files that `copo score --input --shard` wrote, in the order of their input.

    OUT is what one run without --shard would have written. A row that is missing or there twice is an error.
    """
    with common.told_plainly(debug=debug, quiet=quiet):
        from causal_attrib.batch.merge import merge as join

        count, failures = join(output, parts)
        if not quiet:
            common.tell(f"Wrote {count} captions to {output}")
        for failure in failures:
            common.tell_failure(failure)
        common.end_of_rows({output: failures})

"""`copo pairs`: SymMPO's rows for any DPO trainer."""

from __future__ import annotations

from typing import Annotated

import typer

from causal_attrib_cli import common


def pairs(
    data: Annotated[
        str, typer.Argument(metavar="DATA", help="JSON Lines or Parquet, or a folder of scenes.", show_default=False)
    ],
    positional: Annotated[str | None, typer.Argument(metavar="OUT", hidden=True)] = None,
    out: Annotated[
        str | None,
        typer.Option("--out", "-o", metavar="FILE", help="JSON Lines file to write.", show_default=False),
    ] = None,
    image_root: Annotated[
        str | None,
        typer.Option("--image-root", help="What the paths of pictures start from.", show_default="the folder of DATA"),
    ] = None,
    json: common.Json = False,
    debug: common.Debug = False,
    quiet: common.Quiet = False,
) -> None:
    """Write rows with a contrastive picture as plain preference pairs: image, prompt, chosen, rejected.

    Each row becomes three (SymMPO, arXiv 2506.11712), so that any DPO trainer learns its symmetric part.
    """
    with common.told_plainly(debug=debug, quiet=quiet):
        from causal_attrib.io.json_files import check_rows_name
        from causal_attrib.training.data.pairs import plain_preferences
        from causal_attrib.training.data.reading import check_writable, read_data, write_data

        out = common.place(out, positional, "FILE.jsonl")
        check_rows_name(out, "Pairs")
        check_writable(out)
        common.check_outputs([out], [data])
        rows = read_data(data, "contrasts", image_root)
        written = plain_preferences(rows)
        write_data(out, written)
        record = {"out": out, "rows": len(rows), "pairs": len(written)}
        common.told(f"Wrote {len(written)} pairs of {len(rows)} rows to {out}", record, json=json, quiet=quiet)

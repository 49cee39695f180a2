"""`copo scenes`: a labelled data set whose truth is known."""

from __future__ import annotations

from typing import Annotated

import typer

from causal_attrib_cli import common


def scenes(
    positional: common.Folder = None,
    out: common.FolderFlag = None,
    count: Annotated[int, typer.Option("--count", help="How many scenes.")] = 100,
    seed: common.Seed = 0,
    planted: Annotated[
        float,
        typer.Option("--planted", help="Strength from 0 to 1 of the false link between some classes and their places."),
    ] = 0.0,
    stickers: Annotated[
        str | None, typer.Option("--stickers", metavar="FOLDER", help="Your own folder of CLASS.png stickers.")
    ] = None,
    style: Annotated[
        str | None,
        typer.Option("--style", metavar="NAME", help="One style only: noto, fluent.", show_default="both"),
    ] = None,
    size: Annotated[
        int | None,
        typer.Option("--size", metavar="PX", help="Side of the images.", show_default="the bundled model's"),
    ] = None,
    json: common.Json = False,
    debug: common.Debug = False,
    quiet: common.Quiet = False,
) -> None:
    """Render labelled scenes: images, object masks, captions and questions.

    The same seed writes the same bytes.
    """
    with common.told_plainly(debug=debug, quiet=quiet):
        from causal_attrib.scenes import write_dataset

        folder = common.place(out, positional, "DIR")
        write_dataset(
            folder,
            count,
            seed,
            planted=planted,
            stickers=stickers,
            style=style,
            **({} if size is None else {"size": size}),
        )
        record = {"out": folder, "scenes": count, "seed": seed}
        common.told(f"Wrote {count} scenes to {folder}", record, json=json, quiet=quiet)

"""`copo pope`: POPE's questions for your own images."""

from __future__ import annotations

from typing import Annotated

import typer

from causal_attrib_cli import common
from causal_attrib_cli.usage import Command, Group

app = typer.Typer(cls=Group, no_args_is_help=True, help="Questions like POPE's, for your own images.")


@app.command(cls=Command, short_help="Build yes/no questions, half of them about absent objects.")
def build(
    objects: Annotated[str, typer.Option("--objects", metavar="FILE", help="Objects of each image.")],
    out: Annotated[str, typer.Option("--out", "-o", metavar="DIR", help="Folder to write.")],
    strategy: Annotated[
        str,
        typer.Option(
            "--strategy",
            metavar="NAME",
            help="How absent objects are chosen: random, popular, adversarial, all.",
        ),
    ] = "all",
    images: Annotated[int, typer.Option("--images", help="How many images.")] = 500,
    per_image: Annotated[
        int, typer.Option("--per-image", help="How many objects that an image has are asked for.")
    ] = 3,
    seed: common.Seed = 0,
    json: common.Json = False,
    debug: common.Debug = False,
    quiet: common.Quiet = False,
) -> None:
    """Build yes/no questions about objects that images have, and as many about objects that they lack.

    Writes DIR/pope_STRATEGY.jsonl. The same seed writes the same bytes.
    """
    with common.told_plainly(debug=debug, quiet=quiet):
        from pathlib import Path

        from causal_attrib.errors import InputError
        from causal_attrib.evaluation.chair.ground_truth import read_objects
        from causal_attrib.evaluation.pope.build import STRATEGIES
        from causal_attrib.evaluation.pope.build import build as build_rows
        from causal_attrib.io.json_files import write_rows

        names = STRATEGIES if strategy == "all" else (strategy,)
        listed = read_objects(objects)
        sets = {name: build_rows(listed, name, images=images, per_image=per_image, seed=seed) for name in names}
        try:
            Path(out).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{out} cannot be made ({error.strerror}); choose another folder.") from None
        common.check_outputs([str(Path(out) / f"pope_{name}.jsonl") for name in sets], [objects])
        written = []
        for name, rows in sets.items():
            write_rows(Path(out) / f"pope_{name}.jsonl", rows)
            path = str(Path(out) / f"pope_{name}.jsonl")
            written.append({"out": path, "strategy": name, "questions": len(rows)})
        told = "\n".join(f"Wrote {one['questions']} questions to {one['out']}" for one in written)
        common.told(told, {"sets": written}, json=json, quiet=quiet)

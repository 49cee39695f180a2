"""`copo doctor`: can scores of this model, on this machine, be trusted?"""

from __future__ import annotations

import json as json_format
from pathlib import Path
from typing import Annotated

import typer

from causal_attrib_cli import common

_SHOWN = "What it is examined on"


@common.reads_pictures
@common.flags_as("loading", common.LOADING)
def doctor(
    image: Annotated[
        str | None,
        typer.Option(
            "--image", metavar="FILE", help="Image file.", show_default="a drawn scene", rich_help_panel=_SHOWN
        ),
    ] = None,
    caption: Annotated[
        str | None,
        typer.Option(
            "--caption",
            metavar="TEXT",
            help="Caption that fits the image.",
            show_default="the scene's; of another image, the model writes one",
            rich_help_panel=_SHOWN,
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="JSON in place of a table.")] = False,
    seed: common.Seed = 0,
    model: common.Model = None,
    debug: common.Debug = False,
    quiet: common.Quiet = False,
    *,
    loading: dict,
) -> None:
    """Check that scores of a model can be trusted: is the image seen, do numbers repeat, is hiding felt?

    Prints a row per check and ends with exit code 1 if one failed.
    """
    with common.told_plainly(debug=debug, quiet=quiet):
        from causal_attrib.io.pictures import read_picture
        from causal_attrib.words.blank import check_says_something

        if image is None:
            from causal_attrib import scenes

            picture = read_picture(scenes.render(scenes.PARK, size=512)[0])
            caption = scenes.caption(scenes.PARK) if caption is None else caption
        else:
            picture = read_picture(image)
        from causal_attrib.choices import check_seed

        check_seed(seed)
        if caption is not None:
            check_says_something("caption", caption, "give one, or leave --caption out")
        from causal_attrib.doctor import environment

        if debug:
            _show_reasons()
        # What is wrong with the packages may be why the model cannot even be loaded.
        packages = environment()
        if packages.passed is False and not quiet:
            common.tell(f"Warning: {packages.detail}", "yellow")
        if model is not None and Path(model).exists():
            common.check_model(model, loading)
        vlm = common.load(model, debug=debug, checked=True, **loading)
        from causal_attrib.doctor import examine

        with common.progress("Examining", quiet=quiet) as progress:
            report = examine(vlm, picture, caption, seed=seed, progress=progress)

        if json:
            print(json_format.dumps(report.to_dict(), indent=2))
        else:
            from causal_attrib.views.examination import examination

            common.stdout().print(examination(report))
        if not report.passed:
            raise typer.Exit(1)


def _show_reasons() -> None:
    """Let the checks log the tracebacks of what they caught."""
    import logging

    logging.basicConfig()
    logging.getLogger("causal_attrib.doctor").setLevel(logging.DEBUG)

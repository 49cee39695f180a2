"""`copo eval background`: how much of an answer's saliency lies on the background."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Annotated, Any

import typer

from causal_attrib_cli import common
from causal_attrib_cli.eval import common as eval_common

if TYPE_CHECKING:
    from rich.console import RenderableType

    from causal_attrib.evaluation.background.shares import BackgroundDifference, BackgroundScores

_LEGEND = (
    "share: percent of the saliency of the model's own answers that lies on the background. density: that over the "
    "background's share of the tokens, 100 without any preference. With 95 % bootstrap intervals over images."
)


@common.reads_pictures
@common.flags_as("loading", common.LOADING)
def background(
    rows: Annotated[
        str,
        typer.Argument(
            metavar="FOLDER", help="Folder that `copo scenes` wrote, or a file of rows.", show_default=False
        ),
    ],
    measure: Annotated[
        str, typer.Option("--measure", metavar="NAME", help="Saliency: gradient, gradient_x_input.")
    ] = "gradient",
    bootstrap: eval_common.Bootstrap = 1000,
    seed: common.Seed = 0,
    per_question: Annotated[
        str | None,
        typer.Option(
            "--per-question",
            metavar="FILE",
            help="Write each reply with its share, as JSON Lines.",
            rich_help_panel="Output",
        ),
    ] = None,
    json: eval_common.Json = False,
    out: eval_common.Out = None,
    model: common.Model = None,
    debug: common.Debug = False,
    quiet: common.Quiet = False,
    *,
    loading: dict[str, Any],
) -> None:
    """Do answers lean on the background? With the image, and with its description in its place.

    A file of rows (JSON Lines or list) has image, mask (white on the objects), question and answer, and, for the text
    arm, description and spans.
    """
    with common.told_plainly(debug=debug, quiet=quiet):
        from causal_attrib.evaluation.intervals import check_draws

        # What needs no torch is told before it is imported.
        check_draws(resamples=bootstrap, seed=seed)

        from causal_attrib.evaluation.background import evaluate
        from causal_attrib.io.json_files import write_rows

        eval_common.check_output(out)
        eval_common.check_rows(per_question)
        common.check_outputs([out, per_question], [rows])
        with common.progress("Asking", quiet=quiet) as progress:
            result = evaluate(
                rows,
                model=functools.partial(common.load, model, debug=debug, **loading),
                measure=measure,
                resamples=bootstrap,
                seed=seed,
                progress=progress,
            )
        if per_question is not None:
            write_rows(per_question, result.per_question())
        view = _view(result.arms, result.image_less_text, f"{result.model_name}  measure={measure}")
        eval_common.report(result, view, json=json, out=out, quiet=quiet)


def _view(scores: list[BackgroundScores], compared: list[BackgroundDifference], title: str) -> list[RenderableType]:
    shown = eval_common.shown
    main = eval_common.table(
        f"Background  {title}",
        ("arm", "answers", "count", "images", "share", "density"),
        ((arm.arm, arm.split, arm.answers, arm.images, shown(arm.share), shown(arm.density)) for arm in scores),
    )
    view: list[RenderableType] = [main, _LEGEND]
    if compared:
        view.append(
            eval_common.table(
                "Image less text, in points",
                ("answers", "share", "density"),
                ((less.split, shown(less.share), shown(less.density)) for less in compared),
            )
        )
    return view

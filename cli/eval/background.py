"""`copo eval background`: how much of an answer's saliency lies on the background."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from causal_attrib_cli import common
from causal_attrib_cli.eval import common as eval_common

if TYPE_CHECKING:
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
    loading: dict,
) -> None:
    """Do answers lean on the background? With the image, and with its description in its place.

    A file of rows (JSON Lines or list) has image, mask (white on the objects), question and answer, and, for the text
    arm, description and spans.
    """
    with common.told_plainly(debug=debug, quiet=quiet):
        import numpy as np

        from causal_attrib.choices import one_of
        from causal_attrib.evaluation.background import shares as benchmark
        from causal_attrib.evaluation.background.rows import read_questions
        from causal_attrib.evaluation.background.study import MEASURES, study
        from causal_attrib.evaluation.intervals import estimate
        from causal_attrib.io.json_files import write_rows
        from causal_attrib.results.formats import check_output

        one_of("measure", measure, MEASURES)
        for file in (per_question, out):
            if file not in (None, "-"):
                check_output(file)
        common.check_outputs([out, per_question], [rows])
        # Without a metric only the numbers of the bootstrap are looked at.
        estimate(np.zeros((1, 1)), {}, resamples=bootstrap, seed=seed)
        asked = read_questions(rows)
        vlm = common.load(model, debug=debug, **loading)
        with common.progress("Asking", quiet=quiet) as progress:
            measured = study(vlm, asked, measure=measure, progress=progress)
        settings = {
            "rows": rows,
            "questions": len(asked),
            "described": sum(row.description is not None for row in asked),
            "model": vlm.record,
            "measure": measure,
            "bootstrap": bootstrap,
            "seed": seed,
        }
        draw = {"resamples": bootstrap, "seed": seed}
        scores, compared = benchmark.score(measured, **draw), benchmark.differences(measured, **draw)
        if per_question is not None:
            write_rows(
                per_question, ({**eval_common.plain(one), "density": one.background.density} for one in measured)
            )
        notes = _notes(settings, scores)
        results = {"arms": scores, "image_less_text": compared}
        view = _view(scores, compared, f"{vlm.name}  measure={measure}")
        eval_common.report("background", settings, results, view, notes, json=json, out=out, quiet=quiet)


def _notes(settings: dict, scores: list[BackgroundScores]) -> list[str]:
    answers = {(one.arm, one.split): one.answers for one in scores}
    notes = []
    for arm, asked in (("image", settings["questions"]), ("text", settings["described"])):
        left_out = asked - answers.get((arm, "all"), 0)
        if left_out:
            notes.append(
                f"{left_out} of {asked} questions are left out of the {arm} arm: no answer, or nothing on one side of "
                "the object's border."
            )
    if not settings["described"]:
        notes.append("no row has a description, so there is no text arm.")
    return notes


def _view(scores: list[BackgroundScores], compared: list[BackgroundDifference], title: str) -> list:
    shown = eval_common.shown
    main = eval_common.table(
        f"Background  {title}",
        ("arm", "answers", "count", "images", "share", "density"),
        ((one.arm, one.split, one.answers, one.images, shown(one.share), shown(one.density)) for one in scores),
    )
    view = [main, _LEGEND]
    if compared:
        view.append(
            eval_common.table(
                "Image less text, in points",
                ("answers", "share", "density"),
                ((one.split, shown(one.share), shown(one.density)) for one in compared),
            )
        )
    return view

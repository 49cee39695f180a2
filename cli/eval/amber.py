"""`copo eval amber`: captions by their words, yes/no questions exactly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from causal_attrib_cli import common
from causal_attrib_cli.eval import common as eval_common
from causal_attrib_cli.eval import model_run

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from causal_attrib.evaluation.amber import AmberResult
    from causal_attrib.evaluation.amber.captions import CaptionScores
    from causal_attrib.evaluation.amber.questions import DimensionScores

_FILES = "Files of AMBER"


@common.reads_pictures
@model_run.runs_model
def amber(
    annotations: Annotated[
        str, typer.Option("--annotations", metavar="FILE", help="annotations.json.", rich_help_panel=_FILES)
    ],
    responses: Annotated[
        str | None,
        typer.Option("--responses", metavar="FILE", help="What the model said: rows with id and response."),
    ] = None,
    relations: Annotated[
        str | None,
        typer.Option("--relations", metavar="FILE", help="relation.json, for captions.", rich_help_panel=_FILES),
    ] = None,
    safe_words: Annotated[
        str | None,
        typer.Option("--safe-words", metavar="FILE", help="safe_words.txt, for captions.", rich_help_panel=_FILES),
    ] = None,
    queries: Annotated[
        str | None,
        typer.Option(
            "--queries", metavar="FILE", help="query_all.json, which tells the images.", rich_help_panel=_FILES
        ),
    ] = None,
    parser: Annotated[
        str,
        typer.Option("--parser", metavar="NAME", help="How yes and no are read: official, words, exact, first-token."),
    ] = "official",
    bootstrap: eval_common.Bootstrap = 1000,
    seed: common.Seed = 0,
    json: eval_common.Json = False,
    out: eval_common.Out = None,
    debug: common.Debug = False,
    quiet: common.Quiet = False,
    *,
    running: model_run.Running,
) -> None:
    """AMBER: captions in a lexical mode, which is not the paper's, and yes/no questions exactly.

    The responses stand in a file, or --model gives them to --queries about the pictures of --images.
    """
    with common.told_plainly(debug=debug, quiet=quiet):
        from causal_attrib.evaluation.amber import evaluate

        read_from = [annotations, responses, relations, safe_words, queries]
        eval_common.check_output(out)
        common.check_outputs([out, running.save], read_from)
        running.check("--responses", responses)
        result = evaluate(
            responses or running.save or "",
            annotations,
            relations=relations,
            safe_words=safe_words,
            queries=queries,
            parser=parser,
            resamples=bootstrap,
            seed=seed,
            run=running.to_write("response", debug=debug, quiet=quiet),
        )
        eval_common.report(result, _view(result), json=json, out=out, quiet=quiet)


def _view(result: AmberResult) -> list[RenderableType]:
    view: list[RenderableType] = []
    if result.captions is not None:
        view.append(_captions(result.captions))
    if result.questions is not None and result.always_no is not None:
        view.append(_questions(result.questions, result.always_no[0]))
    if result.amber_score is not None:
        view.append(f"AMBER score (100 - CHAIR + F1) / 2: {result.amber_score:.1f}, with the lexical CHAIR")
    return [*view, eval_common.LEGEND]


def _captions(scores: CaptionScores) -> Table:
    numbers = (scores.chair, scores.cover, scores.hal, scores.cog)
    return eval_common.table(
        "AMBER  captions, lexical mode (no tagger, no vectors)",
        ("captions", "nouns", "CHAIR", "Cover", "Hal", "Cog"),
        [(scores.captions, scores.nouns, *map(eval_common.shown, numbers))],
    )


def _questions(scores: list[DimensionScores], always_no: DimensionScores) -> Table:
    rows = [_row(of_dimension, of_dimension.dimension) for of_dimension in scores]
    return eval_common.table(
        "AMBER  yes/no questions, No is positive",
        ("", "questions", "accuracy", "precision", "recall", "F1", "script's\nF1"),
        [*rows, _row(always_no, "always No")],
    )


def _row(scores: DimensionScores, name: str) -> tuple[object, ...]:
    numbers = (scores.accuracy, scores.precision, scores.recall, scores.f1)
    return name, scores.questions, *map(eval_common.shown, numbers), scores.official["f1"]

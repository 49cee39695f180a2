"""`copo eval amber`: captions by their words, yes/no questions exactly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from causal_attrib_cli import common
from causal_attrib_cli.eval import common as eval_common
from causal_attrib_cli.eval import model_run

if TYPE_CHECKING:
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
        from causal_attrib.errors import InputError
        from causal_attrib.evaluation import prompts as asks
        from causal_attrib.evaluation.amber import files
        from causal_attrib.evaluation.amber.captions import named, score_captions
        from causal_attrib.evaluation.amber.questions import score_questions

        read_from = [annotations, responses, relations, safe_words, queries]
        common.check_outputs([out, running.save], read_from)
        speaks = running.wanted("--responses", responses)
        if speaks and queries is None:
            raise InputError("A run of the model needs what it is asked; add --queries query_all.json.")
        items = files.read_items(annotations)
        images = None if queries is None else files.read_images(queries)
        if speaks:
            responses, asked = running.save, files.read_queries(queries)
            about = asks.queries(running.images, asked, items)
            running.write({responses: about}, "response", debug=debug, quiet=quiet)
        read = files.read_responses(responses, items, images)
        captions = [response for response in read if not response.item.is_question]
        questions = [response for response in read if response.item.is_question]
        draw = {"resamples": bootstrap, "seed": seed}
        results: dict[str, object] = {"captions": None, "questions": None, "always_no": None, "amber_score": None}

        if captions:
            if relations is None or safe_words is None:
                raise InputError(f"{len(captions)} responses are captions, which need --relations and --safe-words.")
            table, safe = files.read_relations(relations), files.read_safe_words(safe_words)
            results["captions"] = score_captions([named(response, table, safe) for response in captions], **draw)
        if questions:
            results["questions"] = score_questions(questions, parser=parser, **draw)
            results["always_no"] = score_questions(files.always_no(questions), **draw)
        if captions and questions:
            # Wang et al. (2023): the mean of 100 - CHAIR and F1.
            chair, f1 = results["captions"].chair.value, results["questions"][0].f1.value
            results["amber_score"] = None if chair is None or f1 is None else (100 - chair + f1) / 2

        settings = {
            "responses": responses,
            **running.settings,
            "annotations": annotations,
            "captions": "lexical",
            "parser": parser,
            "bootstrap": bootstrap,
            "seed": seed,
        }
        notes = _notes(len(items) - len(read), len(items), bool(questions) and queries is None, results)
        eval_common.report("amber", settings, results, _view(results), notes, json=json, out=out, quiet=quiet)


def _notes(missing: int, items: int, alone: bool, results: dict) -> list[str]:
    notes = []
    if missing:
        notes.append(f"{missing} of {items} items have no response; the numbers are of the others.")
    if alone:
        notes.append("without --queries, questions about one image are drawn apart, which makes intervals too narrow.")
    if results["captions"] is not None:
        notes.append(
            "captions are scored by words, without AMBER's tagger and vectors; do not set them beside the paper's."
        )
    if results["questions"] is not None and (undecided := results["questions"][0].undecided):
        notes.append(f"{undecided} replies are neither yes nor no and count as wrong.")
    return notes


def _view(results: dict) -> list:
    view: list = []
    if results["captions"] is not None:
        view.append(_captions(results["captions"]))
    if results["questions"] is not None:
        view.append(_questions(results["questions"], results["always_no"][0]))
    if results["amber_score"] is not None:
        view.append(f"AMBER score (100 - CHAIR + F1) / 2: {results['amber_score']:.1f}, with the lexical CHAIR")
    return [*view, eval_common.LEGEND]


def _captions(scores: CaptionScores):
    numbers = (scores.chair, scores.cover, scores.hal, scores.cog)
    return eval_common.table(
        "AMBER  captions, lexical mode (no tagger, no vectors)",
        ("captions", "nouns", "CHAIR", "Cover", "Hal", "Cog"),
        [(scores.captions, scores.nouns, *map(eval_common.shown, numbers))],
    )


def _questions(scores: list[DimensionScores], always_no: DimensionScores):
    rows = [_row(one, one.dimension) for one in scores]
    return eval_common.table(
        "AMBER  yes/no questions, No is positive",
        ("", "questions", "accuracy", "precision", "recall", "F1", "script's\nF1"),
        [*rows, _row(always_no, "always No")],
    )


def _row(one: DimensionScores, name: str) -> tuple:
    numbers = (one.accuracy, one.precision, one.recall, one.f1)
    return name, one.questions, *map(eval_common.shown, numbers), one.official["f1"]

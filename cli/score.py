"""`copo score`: how much each token of a caption rests on the image; of one caption, or of a file of them."""

from __future__ import annotations

import functools
from typing import Annotated

import typer

from causal_attrib_cli import common, score_run

_CAPTION = "What is scored"
_METHOD = "How it is scored"
_OUTPUT = "Output"
_MANY = "Many captions"


@common.reads_pictures
@common.flags_as("loading", common.LOADING)
def score(
    image: Annotated[
        str | None, typer.Argument(metavar="IMAGE", help="Image file, unless --input is given.", show_default=False)
    ] = None,
    caption: Annotated[
        str | None,
        typer.Argument(metavar="CAPTION", help="Caption to score.", show_default="the model writes one"),
    ] = None,
    also: Annotated[
        list[str] | None,
        typer.Option(
            "--also",
            metavar="CAPTION",
            help="Another caption of the image, scored beside it; may be repeated.",
            rich_help_panel=_CAPTION,
        ),
    ] = None,
    prompt: Annotated[
        str | None,
        typer.Option("--prompt", help="What the model was asked for.", rich_help_panel=_CAPTION),
    ] = None,
    question: Annotated[
        str | None,
        typer.Option("--question", help="Question that the caption should help to answer.", rich_help_panel=_CAPTION),
    ] = None,
    answer: Annotated[str | None, typer.Option("--answer", help="Reference answer.", rich_help_panel=_CAPTION)] = None,
    objects: Annotated[
        str | None,
        typer.Option("--objects", metavar="A,B,C", help="Annotated objects of the image.", rich_help_panel=_CAPTION),
    ] = None,
    outcome: Annotated[
        str,
        typer.Option(
            "--outcome",
            metavar="NAME",
            help="What scores are differences of: auto, likelihood, match, objects, yesno, grounding, module:function.",
            rich_help_panel=_METHOD,
        ),
    ] = "auto",
    against: Annotated[
        str,
        typer.Option(
            "--against",
            metavar="NAME",
            help="What grounding holds the image against: colour, blur.",
            rich_help_panel=_METHOD,
        ),
    ] = "colour",
    mask: Annotated[
        str,
        typer.Option(
            "--mask", metavar="NAME", help="How a token is hidden: zero, mean, token, delete.", rich_help_panel=_METHOD
        ),
    ] = "zero",
    samples: Annotated[
        int | None,
        typer.Option(
            "--samples",
            metavar="H",
            help="Sampled completions per prefix, for sufficiency; 0 judges the prefix as it is.",
            rich_help_panel=_METHOD,
            show_default="0, or 4 if the outcome judges text",
        ),
    ] = None,
    estimator: Annotated[
        str,
        typer.Option(
            "--estimator",
            metavar="NAME",
            help="How sufficiency is read: paired, mean_gain, product.",
            rich_help_panel=_METHOD,
        ),
    ] = "paired",
    coupling: Annotated[
        str,
        typer.Option(
            "--coupling",
            metavar="NAME",
            help="How the samples of neighbouring prefixes are drawn: independent, gumbel.",
            rich_help_panel=_METHOD,
        ),
    ] = "independent",
    level: Annotated[
        str,
        typer.Option("--level", metavar="NAME", help="What is hidden at once: token, word.", rich_help_panel=_METHOD),
    ] = "token",
    lambda_s: Annotated[
        float, typer.Option("--lambda-s", help="Weight of sufficiency.", rich_help_panel=_METHOD)
    ] = 0.35,
    lambda_n: Annotated[float, typer.Option("--lambda-n", help="Weight of necessity.", rich_help_panel=_METHOD)] = 0.35,
    engine: Annotated[
        str,
        typer.Option(
            "--engine", metavar="NAME", help="How forwards are run: auto, packed, plain.", rich_help_panel=_METHOD
        ),
    ] = "auto",
    coherence: Annotated[
        bool,
        typer.Option(
            "--coherence",
            help="Also how image and prompt drive tagged reasoning, and the reasoning its answer.",
            rich_help_panel=_METHOD,
        ),
    ] = False,
    verdict: Annotated[
        bool,
        typer.Option(
            "--verdict",
            help="Also whether each word is grounded, against the image or a language prior.",
            rich_help_panel=_METHOD,
        ),
    ] = False,
    calibration: Annotated[
        str | None,
        typer.Option(
            "--calibration",
            metavar="FILE",
            help="Calibration of verdicts, from copo eval verdict --fit.",
            show_default="that of the small model in the package",
            rich_help_panel=_METHOD,
        ),
    ] = None,
    seed: common.Seed = 0,
    out: Annotated[
        str | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            help="Write FILE.json, .jsonl, .csv, .parquet or .html; - is stdout.",
            show_default="a table",
            rich_help_panel=_OUTPUT,
        ),
    ] = None,
    format: Annotated[
        str | None,
        typer.Option(
            "--format", metavar="NAME", help="Format of --out -.", show_default="json", rich_help_panel=_OUTPUT
        ),
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="Short for --out - --format json.", rich_help_panel=_OUTPUT)
    ] = False,
    input: Annotated[
        str | None,
        typer.Option(
            "--input",
            metavar="FILE",
            help="Captions to score: rows with image, caption, ... as JSONL, CSV or parquet.",
            rich_help_panel=_MANY,
        ),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option("--output", metavar="FILE", help="Write FILE.parquet, .csv or .jsonl.", rich_help_panel=_MANY),
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", metavar="N", help="Only the first N rows.", rich_help_panel=_MANY)
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option(
            "--shard",
            metavar="I/N",
            help="Only the I-th of N parts, from 1; copo merge joins them.",
            rich_help_panel=_MANY,
        ),
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Forget what a run before has finished.", rich_help_panel=_MANY)
    ] = False,
    model: common.Model = None,
    batch_size: common.BatchSize = "auto",
    debug: common.Debug = False,
    quiet: common.Quiet = False,
    *,
    loading: dict,
) -> None:
    """Score every token of CAPTION: does the image bear it out?

    Prints a table, or writes a file with --out. Blue tokens matter for the outcome; red ones, marked !, do harm, which
    is how a word shows that the image does not bear out. With --input every row of a file is scored; a run that ended
    early goes on when it is called again.
    """
    # What single captions and whole files are scored with alike.
    asked = {
        "prompt": prompt,
        "question": question,
        "answer": answer,
        "objects": None if objects is None else [name.strip() for name in objects.split(",")],
    }
    scoring = {
        "outcome": outcome,
        "against": against,
        "mask": mask,
        "samples": samples,
        "estimator": estimator,
        "coupling": coupling,
        "level": level,
        "lambda_s": lambda_s,
        "lambda_n": lambda_n,
        "engine": engine,
        "batch_size": common.rows_per_forward(batch_size),
        "seed": seed,
        "coherence": coherence,
        "verdict": verdict,
        "calibration": calibration,
    }
    with common.told_plainly(debug=debug, quiet=quiet):
        many = {"--output": output, "--limit": limit, "--shard": shard, "--fresh": fresh}
        one = {"IMAGE": image, "--also": also, "--out": out, "--format": format, "--json": json}
        score_run.check_mode(input, one, many)
        load = functools.partial(common.load, model, debug=debug, **loading)
        if input is None:
            where = score_run.output_of(out, format, json, several=bool(also))
            score_run.score_one(image, caption, also or [], load, asked, scoring, where, quiet=quiet)
        else:
            where = {"limit": limit, "shard": shard or "1/1", "fresh": fresh}
            of_model = {"model": model, **loading}
            score_run.score_many(input, output, load, asked, scoring, of_model, where, strict=debug, quiet=quiet)

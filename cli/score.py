"""`copo score`: how much each token of a caption rests on the image; of one caption, or of a file of them."""

from __future__ import annotations

import functools
from typing import Annotated, Any

import typer

from causal_attrib.scores.settings import Settings
from causal_attrib_cli import common, score_run
from causal_attrib_cli.metrics import check_metrics
from causal_attrib_cli.usage import Command

_CAPTION = "What is scored"
_METHOD = "How it is scored"
_OUTPUT = "Output"
_MANY = "Many captions"


# What score takes beside them, batch_size and seed, other commands take too.
_SETTINGS = (
    *("outcome", "against", "outcome_words", "mask", "samples", "precision", "estimator", "coupling"),
    *("level", "tokens", "lambda_s", "lambda_n", "engine", "signals", "coherence", "verdict", "calibration"),
)


class Score(Command):
    """The command, whose flag --ray needs no value."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        following = [*args[1:], "-"]
        whole = [
            "--ray=local" if arg == "--ray" and after.startswith("-") else arg
            for arg, after in zip(args, following, strict=False)
        ]
        return super().parse_args(ctx, whole)


@common.reads_pictures
@common.flags_as("scoring", common.flags_of(Settings, _SETTINGS, _METHOD), before="seed")
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
    seed: common.Seed = Settings.seed,
    out: Annotated[
        str | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            help="Write FILE.json, .jsonl, .csv, .parquet, .html, .png, .pdf or .svg; - is stdout.",
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
    summary: Annotated[
        str | None,
        typer.Option(
            "--summary",
            metavar="FILE",
            help="Also write FILE.jsonl or .csv with a row per caption: outcome, p_false, words against.",
            rich_help_panel=_OUTPUT,
        ),
    ] = None,
    fail_above: Annotated[
        float | None,
        typer.Option(
            "--fail-above",
            metavar="P",
            help="Exit with 3 if a caption is false with a probability above P; needs --verdict.",
            rich_help_panel=_OUTPUT,
        ),
    ] = None,
    input: Annotated[
        str | None,
        typer.Option(
            "--input",
            metavar="FILE",
            help="Captions to score: files, a pattern, a folder, an address, or DATASET:SPLIT of the hub.",
            rich_help_panel=_MANY,
        ),
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
    workers: Annotated[
        str | None,
        typer.Option(
            "--workers",
            metavar="N",
            help="Processes that share the work; auto is one per GPU, or as cores and memory allow.",
            show_default="1; with --ray as many as there is room for",
            rich_help_panel=_MANY,
        ),
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(
            "--ray",
            metavar="[ADDRESS]",
            help="Share it by Ray Data, on the cluster at ADDRESS; without one, on this machine.",
            show_default=False,
            rich_help_panel=_MANY,
        ),
    ] = None,
    cpus_per_worker: Annotated[
        int,
        typer.Option(
            "--cpus-per-worker", metavar="N", min=1, help="Cores of a worker of --ray.", rich_help_panel=_MANY
        ),
    ] = 1,
    fetch: Annotated[
        bool,
        typer.Option(
            "--fetch", help="Fetch pictures that rows name by address (https, s3, gs).", rich_help_panel=_MANY
        ),
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Score two groups and say what all would take.", rich_help_panel=_MANY),
    ] = False,
    log_json: Annotated[
        bool,
        typer.Option("--log-json", help="Progress and failures as lines of JSON on stderr.", rich_help_panel=_MANY),
    ] = False,
    metrics: Annotated[
        str | None,
        typer.Option(
            "--metrics",
            metavar="FILE",
            help="Keep FILE.prom while it runs, for Prometheus: captions done, failed, a second.",
            rich_help_panel=_MANY,
        ),
    ] = None,
    server: Annotated[
        str | None,
        typer.Option(
            "--server",
            metavar="URL",
            help="Let a server of copo serve score, whose model is loaded already.",
            rich_help_panel=common.MODEL,
        ),
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(
            "--token",
            metavar="TEXT",
            envvar="COPO_TOKEN",
            help="What the server asks for.",
            rich_help_panel=common.MODEL,
        ),
    ] = None,
    model: common.Model = None,
    batch_size: common.BatchSize = str(Settings.batch_size),
    debug: common.Debug = False,
    quiet: common.Quiet = False,
    *,
    scoring: dict[str, Any],
    loading: dict[str, Any],
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
    # A run of many captions goes on where one began that knew nothing of these.
    for later in ("signals", "outcome_words"):
        if scoring[later] == getattr(Settings, later):
            del scoring[later]
    scoring |= {"batch_size": common.rows_per_forward(batch_size), "seed": seed}
    with common.told_plainly(debug=debug, quiet=quiet):
        from causal_attrib.errors import InputError

        many = {
            "--limit": limit,
            "--shard": shard is not None,
            "--fresh": fresh,
            "--workers": workers,
            "--ray": ray,
            "--cpus-per-worker": cpus_per_worker > 1,
            "--fetch": fetch,
            "--dry-run": dry_run,
            "--log-json": log_json,
            "--metrics": metrics,
        }
        one = {"IMAGE": image, "--also": also, "--format": format, "--json": json}
        score_run.check_mode(input, out, one, many)
        gate = score_run.Gate(summary, fail_above)
        beside = [out] if out is None or input is None else score_run.files_of(out)
        check_metrics(metrics, input)
        gate.check(verdict=bool(scoring["verdict"]), beside=beside, inputs=[image, input])
        load = functools.partial(common.load, model, debug=debug, **loading)
        if cpus_per_worker > 1 and ray is None and input is not None:
            raise InputError("--cpus-per-worker is for workers of Ray; add --ray, or leave --cpus-per-worker out.")
        if server is not None:
            score_run.check_server(server, token, input, {"model": model, **loading}, scoring)
        if input is None:
            place = score_run.output_of(out, format, json, several=bool(also))
            by = None if server is None else (server, token)
            captions = [caption, *(also or [])]
            score_run.score_one(str(image), captions, load, asked, scoring, place, gate, server=by, quiet=quiet)
        else:
            how_many = int(workers) if workers is not None and workers.isdecimal() else workers
            which = {"limit": limit, "shard": "1/1" if shard is None else shard, "fetch": fetch}
            of_model = {"model": None if model == "bundled" else model, **loading}
            if dry_run:
                if gate.is_set or metrics is not None:
                    raise InputError(
                        "--dry-run writes and judges nothing; leave --summary, --fail-above and --metrics out."
                    )
                if ray is not None:
                    raise InputError(
                        "--dry-run measures on this machine and not on a Ray cluster; leave --ray out, and say by "
                        "--workers how many are to share the work."
                    )
                if fresh:
                    raise InputError("--dry-run forgets nothing, and counts what is finished too; leave --fresh out.")
                score_run.forecast(input, out, load, asked, scoring, of_model, which, how_many, log_json=log_json)
                return
            which |= {"fresh": fresh, "workers": how_many, "ray": ray, "cpus_per_worker": cpus_per_worker}
            score_run.score_many(
                input,
                score_run.folder_for_ray(str(out), ray),
                load,
                asked,
                scoring,
                of_model,
                which,
                gate,
                strict=debug,
                quiet=quiet,
                log_json=log_json,
                metrics=metrics,
            )

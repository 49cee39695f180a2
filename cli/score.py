"""`copo score`: how much each token of a caption rests on the image."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from causal_attrib_cli import common

_CAPTION = "What is scored"
_METHOD = "How it is scored"
_OUTPUT = "Output"


def score(
    image: Annotated[str, typer.Argument(metavar="IMAGE", help="Image file.", show_default=False)],
    caption: Annotated[
        str | None,
        typer.Argument(metavar="CAPTION", help="Caption to score.", show_default="the model writes one"),
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
            "--estimator", metavar="NAME", help="How sufficiency is read: paired, mean_gain.", rich_help_panel=_METHOD
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
    model: common.Model = None,
    revision: common.Revision = None,
    dtype: common.Dtype = "auto",
    device: common.Device = "auto",
    device_map: common.DeviceMap = None,
    load_in_4bit: common.LoadIn4Bit = False,
    load_in_8bit: common.LoadIn8Bit = False,
    attn_implementation: common.AttnImplementation = None,
    allow_pickle: common.AllowPickle = False,
    trust_remote_code: common.TrustRemoteCode = False,
    batch_size: common.BatchSize = "auto",
    debug: common.Debug = False,
    quiet: common.Quiet = False,
) -> None:
    """Score every token of CAPTION: does the image bear it out?

    Prints a table, or writes a file with --out. Blue tokens matter for the outcome; red ones, marked !, do harm, which
    is how a word shows that the image does not bear out.
    """
    with common.told_plainly(debug=debug, quiet=quiet):
        file, piped = _output(out, format, json)

        import causal_attrib
        from causal_attrib.attribution import check_writable
        from causal_attrib.vlm.images import read_picture

        # What can be found wrong at once is found before the model is loaded, which may take minutes.
        if file is not None:
            check_writable(file)
        picture = read_picture(image)
        vlm = common.load(
            model,
            debug=debug,
            revision=revision,
            dtype=dtype,
            device=device,
            device_map=device_map,
            load_in_4bit=load_in_4bit,
            load_in_8bit=load_in_8bit,
            attn_implementation=attn_implementation,
            allow_pickle=allow_pickle,
            trust_remote_code=trust_remote_code,
        )
        with common.progress("Scoring", quiet=quiet) as progress:
            attribution = causal_attrib.score(
                picture,
                caption,
                model=vlm,
                prompt=prompt,
                question=question,
                answer=answer,
                objects=None if objects is None else [name.strip() for name in objects.split(",")],
                outcome=outcome,
                mask=mask,
                samples=samples,
                estimator=estimator,
                coupling=coupling,
                level=level,
                lambda_s=lambda_s,
                lambda_n=lambda_n,
                engine=engine,
                batch_size=int(batch_size) if batch_size.isdecimal() else batch_size,
                seed=seed,
                progress=progress,
                announce=None if quiet else common.announce,
            )
        if attribution.generated and not quiet:
            common.tell(f'No caption was given, so the model wrote one: "{attribution.caption}"')

        if file is not None:
            attribution.save(file)
            if not quiet:
                common.tell(f"Wrote {file}")
        elif piped is not None:
            sys.stdout.buffer.write(attribution.to_bytes(piped))
        else:
            from causal_attrib import views

            common.stdout().print(views.table(attribution))


def _output(out: str | None, format: str | None, json: bool) -> tuple[str | None, str | None]:
    """The file to write or the format to pipe; neither means a table."""
    from causal_attrib.attribution import FORMATS
    from causal_attrib.errors import InputError

    if json and out is not None:
        raise InputError("--json writes to stdout and --out to a file; leave one of them out.")
    if json and format not in (None, "json"):
        raise InputError(f"--json and --format {format} contradict each other; leave one of them out.")
    if format is not None and not json and out != "-":
        raise InputError("--format is for --out -; a file's format is told by its suffix, so leave --format out.")
    if format is not None and format not in FORMATS:
        raise InputError(f"There is no format {format!r}; choose one of {', '.join(FORMATS)}.")
    if json or out == "-":
        return None, format or "json"
    return out, None

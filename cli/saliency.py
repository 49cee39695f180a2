"""`copo saliency`: where in the picture each word of a caption comes from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from causal_attrib.scores.saliency_methods.choice import Choice
from causal_attrib_cli import common

_CAPTION = "What is explained"
_METHOD = "How it is explained"
_OUTPUT = "Output"


_SETTINGS = ("method", "level", "regions", "baseline", "other", "samples")


@common.reads_pictures
@common.flags_as("by", common.flags_of(Choice, _SETTINGS, _METHOD), before="seed")
@common.flags_as("loading", common.LOADING)
def saliency(
    image: Annotated[str, typer.Argument(metavar="IMAGE", help="Image file.", show_default=False)],
    caption: Annotated[
        str | None,
        typer.Argument(metavar="CAPTION", help="Caption to explain.", show_default="the model writes one"),
    ] = None,
    prompt: Annotated[
        str | None, typer.Option("--prompt", help="What the model was asked for.", rich_help_panel=_CAPTION)
    ] = None,
    question: Annotated[
        str | None, typer.Option("--question", help="Question asked after the caption.", rich_help_panel=_CAPTION)
    ] = None,
    answer: Annotated[str | None, typer.Option("--answer", help="Its answer.", rich_help_panel=_CAPTION)] = None,
    of: Annotated[str, common.option(Choice, "of", _CAPTION)] = Choice.of,
    token: Annotated[
        list[str] | None,
        typer.Option("--token", metavar="WORD", help="Only this word; may be repeated.", rich_help_panel=_CAPTION),
    ] = None,
    foil: Annotated[
        str | None,
        typer.Option(
            "--foil", metavar="WORD", help="Why the word and not this one, and where.", rich_help_panel=_CAPTION
        ),
    ] = None,
    seed: common.Seed = Choice.seed,
    object_mask: Annotated[
        str | None,
        typer.Option(
            "--object-mask",
            metavar="FILE.png",
            help="Mask of an object, white on black: does each map find it?",
            rich_help_panel=_OUTPUT,
        ),
    ] = None,
    out: Annotated[
        str, typer.Option("--out", "-o", metavar="FOLDER", help="Where the files go.", rich_help_panel=_OUTPUT)
    ] = "saliency",
    proof: Annotated[
        bool,
        typer.Option(
            "--proof",
            help="Show whether each map beats chance; takes about five times the forwards of a map by occlusion.",
            rich_help_panel=_OUTPUT,
        ),
    ] = False,
    report: Annotated[
        str | None,
        typer.Option(
            "--report",
            metavar="FILE",
            help="Also write a report with scores and maps: FILE.html, or a figure, .png, .pdf or .svg.",
            rich_help_panel=_OUTPUT,
        ),
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="What saliency.json holds, in place of a table.", rich_help_panel=_OUTPUT)
    ] = False,
    model: common.Model = None,
    batch_size: common.BatchSize = str(Choice.batch_size),
    debug: common.Debug = False,
    quiet: common.Quiet = False,
    *,
    by: dict[str, Any],
    loading: dict[str, Any],
) -> None:
    """Map each word of CAPTION to the part of the image it comes from.

    Writes a folder: an overlay per word, a sheet of all of them on one scale, the raw maps (maps.safetensors) and their
    figures (saliency.json). Blue speaks for the word, red against it.
    """
    with common.told_plainly(debug=debug, quiet=quiet):
        from causal_attrib import views
        from causal_attrib.evaluation.localisation import localise, read_mask
        from causal_attrib.io.atomic import check_writable, replace_file
        from causal_attrib.io.pictures import read_picture
        from causal_attrib.results.formats import FIGURES, format_of
        from causal_attrib.scores.inputs import check_inputs
        from causal_attrib.scores.saliency_methods.choice import check_used, check_words
        from causal_attrib.scores.settings import Settings

        # What can be found wrong at once is found before torch is imported and the model loaded.
        by |= {"seed": seed, "of": of, "batch_size": common.rows_per_forward(batch_size)}
        choice = Choice(**by).settled()
        check_used(choice.method, by, proof=proof)
        if report is not None:
            report_format = format_of(report, ("html", *FIGURES), what_for=" of a report")
            check_writable(report)
        views.check_folder(out)
        check_words(of, token, foil, caption)
        inputs = check_inputs(Settings(), image, [caption], prompt=prompt, question=question, answer=answer)
        picture = inputs.picture
        if choice.other is not None:
            choice = replace(choice, other=read_picture(choice.other))
        mask_HW = None if object_mask is None else read_mask(object_mask, *picture.pixels.size)
        vlm = common.load(model, debug=debug, **loading)
        import causal_attrib
        from causal_attrib.scores.saliency_methods.maps import map_picture

        text = vlm.describe(picture, prompt) if caption is None else caption
        with common.progress("Mapping", quiet=quiet) as progress:
            maps = map_picture(
                vlm,
                choice,
                picture,
                text,
                prompt=prompt,
                question=question,
                answer=answer,
                words=token,
                foil=foil,
                progress=_added_up(progress),
            )
        if proof:
            with common.progress("Proving", quiet=quiet) as progress:
                maps = causal_attrib.prove(
                    maps,
                    picture,
                    text,
                    model=vlm,
                    baseline=by["baseline"] or "blur",
                    other=choice.other,
                    batch_size=choice.batch_size,
                    seed=seed,
                    announce=None if quiet else _announce,
                    progress=progress,
                )
        known = None
        if mask_HW is not None:
            found = [localise(map_HW, mask_HW) for map_HW in maps.at_size(*picture.pixels.size)]
            known = tuple(
                {"hit": one.hit, "mass": one.mass, "area": one.area, "mass_above_area": one.mass_above_area}
                for one in found
            )
        files = views.write_saliency(out, maps, picture.pixels, known)
        if report is not None:
            attribution = causal_attrib.score(
                picture, text, model=vlm, prompt=prompt, question=question, answer=answer, seed=seed
            )
            replace_file(report, views.report_bytes(attribution, maps, format=report_format))
        if json:
            print(Path(files[1]).read_text("utf-8"), end="")
        else:
            common.stdout().print(views.saliency_table(maps, known))
        if not quiet:
            common.tell(f"Wrote {len(files)} files to {out}" + (f" and {report}" if report else ""))


def _added_up(progress: common.Progress | None) -> Callable[[int], None] | None:
    """A bar of (done, total) as one that is told of every step; how many will come is not known."""
    if progress is None:
        return None
    steps: list[int] = []

    def more(rows: int) -> None:
        steps.append(rows)
        progress(sum(steps), None)

    return more


def _announce(rows: int) -> None:
    common.tell(f"The proof puts about {rows:,} rows through the model")

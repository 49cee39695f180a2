"""`copo eval chair`: objects that captions name and images lack."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from causal_attrib_cli import common
from causal_attrib_cli.eval import common as eval_common
from causal_attrib_cli.eval import model_run

if TYPE_CHECKING:
    from rich.console import RenderableType

    from causal_attrib.evaluation.chair import ChairResult
    from causal_attrib.evaluation.chair.scores import ChairDifference, ChairScores

_CAPTIONS = "Captions"
_RULES = "How objects are found"


@common.reads_pictures
@model_run.runs_model
def chair(
    captions: Annotated[
        str | None,
        typer.Option(
            "--captions", metavar="FILE", help="Captions: JSON list or JSON Lines.", rich_help_panel=_CAPTIONS
        ),
    ] = None,
    prompt: Annotated[
        str | None,
        typer.Option(
            "--prompt",
            help="What --model is asked for.",
            show_default="Describe this image.",
            rich_help_panel=_CAPTIONS,
        ),
    ] = None,
    compare: Annotated[
        str | None,
        typer.Option(
            "--compare",
            metavar="FILE",
            help="Captions of the same images by another system, to compare with.",
            rich_help_panel=_CAPTIONS,
        ),
    ] = None,
    image_key: Annotated[
        str | None,
        typer.Option(
            "--image-key",
            metavar="KEY",
            help="Key of the image in a row.",
            show_default="image_id or image",
            rich_help_panel=_CAPTIONS,
        ),
    ] = None,
    caption_key: Annotated[
        str | None,
        typer.Option(
            "--caption-key",
            metavar="KEY",
            help="Key of the caption in a row.",
            show_default="caption, text or answer",
            rich_help_panel=_CAPTIONS,
        ),
    ] = None,
    group_by: Annotated[
        str | None,
        typer.Option(
            "--group-by",
            metavar="KEY,KEY",
            help="Keys that say whose caption it is: a score for each.",
            rich_help_panel=_CAPTIONS,
        ),
    ] = None,
    drop_truncated: Annotated[
        bool,
        typer.Option("--drop-truncated", help="Drop a last sentence without an end.", rich_help_panel=_CAPTIONS),
    ] = False,
    objects: eval_common.Objects = None,
    instances: eval_common.Instances = None,
    references: eval_common.References = None,
    unknown_images: eval_common.UnknownImages = "error",
    rules: Annotated[
        str,
        typer.Option(
            "--rules",
            metavar="NAME",
            help="official, the script's with its mistakes, or repaired.",
            rich_help_panel=_RULES,
        ),
    ] = "official",
    lexicon: Annotated[
        str,
        typer.Option(
            "--lexicon", metavar="NAME", help="coco80, or a synonyms file of CHAIR's format.", rich_help_panel=_RULES
        ),
    ] = "coco80",
    per_caption: Annotated[
        str | None,
        typer.Option(
            "--per-caption", metavar="FILE", help="Write what each caption names, and where.", rich_help_panel="Output"
        ),
    ] = None,
    bootstrap: eval_common.Bootstrap = 1000,
    seed: common.Seed = 0,
    json: eval_common.Json = False,
    out: eval_common.Out = None,
    debug: common.Debug = False,
    quiet: common.Quiet = False,
    *,
    running: model_run.Running,
) -> None:
    """CHAIR: which of the objects that captions name are not in the image?

    The captions stand in a file, or --model writes them for the pictures of --images.
    """
    with common.told_plainly(debug=debug, quiet=quiet):
        from causal_attrib.evaluation.chair.benchmark import check_truth, evaluate
        from causal_attrib.io.json_files import write_rows

        read_from = [captions, compare, objects, instances, references, lexicon]
        eval_common.check_output(out)
        eval_common.check_rows(per_caption)
        common.check_outputs([out, per_caption, running.save], read_from)
        check_truth(objects, instances, references, unknown_images)
        running.check("--captions", captions)
        result = evaluate(
            captions or running.save or "",
            objects=objects,
            instances=instances,
            references=references,
            against=compare,
            image_key=image_key,
            caption_key=caption_key,
            group_by=[] if group_by is None else [key.strip() for key in group_by.split(",")],
            drop_truncated=drop_truncated,
            unknown_images=unknown_images,
            rules=rules,
            lexicon=lexicon,
            resamples=bootstrap,
            seed=seed,
            prompt=prompt,
            run=running.to_write("caption", debug=debug, quiet=quiet),
        )
        if per_caption is not None:
            write_rows(per_caption, result.per_caption())
        eval_common.report(result, _view(result), json=json, out=out, quiet=quiet)


def _view(result: ChairResult) -> list[RenderableType]:
    lexicon, systems = result.lexicon, result.systems
    title = (
        f"CHAIR  rules={result.settings['rules']}  lexicon={lexicon.name} "
        f"({len(lexicon.nodes)} objects, {len(lexicon.as_written())} words)"
    )
    main = eval_common.table(
        title,
        ("system", "CHAIR_s", "CHAIR_i", "recall", "precision"),
        (
            (_name(scores), *map(eval_common.shown, (scores.chair_s, scores.chair_i, scores.recall, scores.precision)))
            for scores in systems
        ),
    )
    counts = eval_common.table(
        "Counts, and the objects most often hallucinated (of all mentions of them)",
        ("system", "captions", "images", "mentions", "tokens\n/caption", "", "", ""),
        (
            (
                _name(scores),
                scores.captions,
                scores.images,
                scores.mentions,
                f"{scores.tokens_per_caption:.1f}",
                *_worst(scores, 3),
            )
            for scores in systems
        ),
    )
    compared = [] if result.difference is None else [_compared(result.difference)]
    return [main, eval_common.LEGEND, counts, *compared]


def _compared(difference: ChairDifference) -> str:
    return (
        f"Difference to --compare, in points: CHAIR_s {eval_common.shown(difference.chair_s)}, "
        f"CHAIR_i {eval_common.shown(difference.chair_i)}, recall {eval_common.shown(difference.recall)}, "
        f"precision {eval_common.shown(difference.precision)}"
    )


def _name(scores: ChairScores) -> str:
    return "/".join(scores.system) or "all captions"


def _worst(scores: ChairScores, count: int) -> list[str]:
    wrong = [(node, counts) for node, counts in scores.objects.items() if counts.hallucinated][:count]
    cells = [f"{node} {counts.hallucinated}/{counts.mentions}" for node, counts in wrong]
    return cells + [""] * (count - len(cells))

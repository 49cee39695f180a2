"""`copo eval detection`: which signal finds the words that a model hallucinates."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Annotated

import typer

from causal_attrib_cli import common
from causal_attrib_cli.eval import common as eval_common
from causal_attrib_cli.eval import model_run

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from causal_attrib.evaluation.detection import DetectionResult
    from causal_attrib.evaluation.detection.benchmark import SignalScores

_CAPTIONS = "Captions"


@common.reads_pictures
@model_run.runs_model
def detection(
    captions: Annotated[
        str | None,
        typer.Option(
            "--captions",
            metavar="FILE",
            help="Captions to judge, in place of the model's own; with spans, tags or lists they need no ground truth.",
            show_default="the model writes them",
            rich_help_panel=_CAPTIONS,
        ),
    ] = None,
    prompt: Annotated[
        str | None,
        typer.Option(
            "--prompt",
            help="What the model is or was asked for.",
            show_default="Describe this image.",
            rich_help_panel=_CAPTIONS,
        ),
    ] = None,
    drawn_captions: Annotated[
        int,
        typer.Option(
            "--drawn-captions",
            metavar="H",
            help="Captions to draw at temperature 1 beside the greedy one.",
            rich_help_panel=_CAPTIONS,
        ),
    ] = 0,
    objects: eval_common.Objects = None,
    instances: eval_common.Instances = None,
    references: eval_common.References = None,
    unknown_images: eval_common.UnknownImages = "error",
    planted: Annotated[
        str | None,
        typer.Option(
            "--planted",
            metavar="FILE",
            help="True captions of the images (COCO's, or rows with image and caption) to put lies into, as a column.",
            rich_help_panel=_CAPTIONS,
        ),
    ] = None,
    signals: Annotated[
        str,
        typer.Option("--signals", metavar="NAME,NAME", help="Signals to compare, or all (docs/detection.md)."),
    ] = "all",
    fit: Annotated[
        str | None,
        typer.Option("--fit", metavar="FILE.json", help="Fit a calibration of verdicts on these words and write it."),
    ] = None,
    curves: Annotated[
        str | None,
        typer.Option("--curves", metavar="FILE", help="Draw ROC, PR and reliability to a PNG or PDF."),
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
    """Which signal finds the words that your model hallucinates?

    The model describes the pictures, each object that it names is held against what is in them, and every signal is
    measured by how well it puts those that are not there above those that are.
    """
    with common.told_plainly(debug=debug, quiet=quiet):
        from causal_attrib.evaluation.intervals import check_draws

        # What needs no torch is told before it is imported.
        check_draws(resamples=bootstrap, seed=seed)

        from causal_attrib.evaluation.detection import evaluate

        eval_common.check_output(out)
        common.check_outputs([out, running.save, fit, curves], [captions, objects, instances, references, planted])
        running.check_values()
        with common.progress("Measuring pictures", quiet=quiet) as progress:
            result = evaluate(
                functools.partial(
                    common.load,
                    None if running.model == "bundled" else running.model,
                    debug=debug,
                    **running.loading,
                ),
                images=running.images,
                instances=instances,
                objects=objects,
                references=references,
                unknown_images=unknown_images,
                captions=captions,
                prompt=prompt,
                samples=drawn_captions,
                planted=planted,
                signals=signals,
                max_new_tokens=running.max_new_tokens,
                batch_size=common.rows_per_forward(running.batch_size),
                save=running.save,
                fresh=running.fresh,
                fit=fit,
                curves=curves,
                resamples=bootstrap,
                seed=seed,
                progress=progress,
            )
        eval_common.report(result, _view(result), json=json, out=out, quiet=quiet)
        if not quiet:
            for path in (running.save, curves):
                if path is not None:
                    common.tell(f"Wrote {path}")
            if fit is not None:
                common.tell(f"Wrote {fit}; use it with copo score --verdict --calibration {fit}")


def _view(result: DetectionResult) -> list[RenderableType]:
    counts, ends = result.counts, eval_common.shown
    words, planted, texts = result.settings["units"], counts["planted_pairs"], counts["text_matched"]
    main = eval_common.table(
        f"Detection  {result.model_name}  {counts['images']} images, {counts['captions']} captions, {counts['units']} "
        f"{words}, {counts['hallucinated']} hallucinated",
        (
            "signal",
            "AUROC,\nself-written",
            *(("AUROC,\nplanted",) if planted else ()),
            "AUPRC",
            "FPR at 95 %\nrecall",
            "cost",
        ),
        (
            (
                _name(one),
                ends(one.auroc),
                *((ends(one.planted),) if planted else ()),
                ends(one.auprc),
                ends(one.fpr95),
                one.cost,
            )
            for one in result.signals
        ),
    )
    spans = any(one.f1_iou.value is not None for one in result.signals)
    more = eval_common.table(
        "AUROC under controls",
        ("signal", "first mentions", f"without\n{counts['commonest']}", "within the\nsame word")
        + (("within the\nsame text",) if texts else ())
        + (("ECE",) + (("F1_IoU",) if spans else ())),
        (
            (
                _name(one),
                *(ends(each) for each in (one.first, one.without_commonest, one.within_word)),
                *((ends(one.within_text),) if texts else ()),
                ends(one.ece),
                *((ends(one.f1_iou),) if spans else ()),
            )
            for one in result.signals
        ),
    )
    return [main, more, _pooled(result), _notes(result)]


def _pooled(result: DetectionResult) -> Table:
    """AUROC over larger units than words: by the largest score in each, with its interval, and by their mean."""
    by_signal: dict[str, list[str]] = {}
    for one in result.pooled:
        mean = "-" if one.mean.value is None else f"{one.mean.value:.1f}"
        by_signal.setdefault(one.signal, []).extend([eval_common.shown(one.max), mean])
    numbers = {one.level: f"{one.units}, {one.hallucinated} false" for one in result.pooled}
    headings = [head for level, of in numbers.items() for head in (f"{level}, max\n({of})", f"{level},\nmean")]
    kinds = {one.signal: _name(one) for one in result.signals}
    return eval_common.table(
        "AUROC over larger units, by the largest and by the mean of their scores",
        ("signal", *headings),
        ((kinds[signal], *cells) for signal, cells in by_signal.items()),
    )


def _name(one: SignalScores) -> str:
    return one.signal if one.kind == "signal" else f"{one.signal} ({one.kind})"


def _notes(result: DetectionResult) -> str:
    counts = result.counts
    lines = [
        f"{eval_common.LEGEND} Higher is better, but for FPR and ECE. Cost: forwards beside the caption's own; COPO's "
        "are packed, and counted by the positions that they read.",
        f"Commonest word: {counts['commonest']}, {counts['commonest_units']} of {counts['units']}, "
        f"{100 * counts['commonest_true']:.0f} % of them true.",
        f"{result.comparisons} AUROCs were compared, and no interval is corrected for that: about one in twenty misses "
        "its value by chance, and the best of many looks better than it is.",
    ]
    if counts["planted_pairs"]:
        lines.append(
            f"Planted: {counts['planted_pairs']} given captions, each with and without an object that is not there. "
            "What finds such lies need not find those that the model writes."
        )
    if counts["text_matched"]:
        lines.append(
            f"Within the same text: {counts['text_matched']} {result.settings['units']} in captions of the same words, "
            "true in some of the pictures and not in others."
        )
    steps = result.selection.get("steps")
    if steps:
        added = ", ".join(f"{step.signal} {step.auroc:.1f}" for step in steps)
        lines.append(f"Forward selection (AUROC so far; chosen on these words, so too high): {added}.")
    return "\n".join(lines)

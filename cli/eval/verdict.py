"""`copo eval verdict`: how often verdicts on words err, and a calibration of them for a model."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from causal_attrib_cli import common
from causal_attrib_cli.eval import common as eval_common

if TYPE_CHECKING:
    from rich.console import RenderableType

    from causal_attrib.evaluation.intervals import Estimate
    from causal_attrib.evaluation.verdict.scores import WordVerdictScores

_WORDS = "Words whose truth is known"


@common.flags_as("loading", common.LOADING)
def verdict(
    scenes: Annotated[
        int | None,
        typer.Option(
            "--scenes",
            metavar="N",
            help="Rendered scenes, one false word each.",
            show_default="500",
            rich_help_panel=_WORDS,
        ),
    ] = None,
    captions: Annotated[
        str | None,
        typer.Option(
            "--captions",
            metavar="FILE",
            help="Captions of your own with their true and false words, in place of scenes.",
            rich_help_panel=_WORDS,
        ),
    ] = None,
    wordings: Annotated[
        bool,
        typer.Option(
            "--wordings",
            help="Caption the scenes in nine wordings, half of them with one false word.",
            rich_help_panel=_WORDS,
        ),
    ] = False,
    level: Annotated[
        str, typer.Option("--level", metavar="NAME", help="What is hidden at once: token, word.")
    ] = "token",
    against: Annotated[
        str, typer.Option("--against", metavar="NAME", help="What grounding holds the image against: colour, blur.")
    ] = "colour",
    calibration: Annotated[
        str | None,
        typer.Option(
            "--calibration",
            metavar="FILE",
            help="Calibration to test.",
            show_default="that of the small model in the package",
        ),
    ] = None,
    fit: Annotated[
        str | None,
        typer.Option("--fit", metavar="FILE.json", help="Fit a calibration on these words and write it."),
    ] = None,
    bootstrap: eval_common.Bootstrap = 1000,
    seed: common.Seed = 0,
    json: eval_common.Json = False,
    out: eval_common.Out = None,
    model: common.Model = None,
    batch_size: common.BatchSize = "auto",
    debug: common.Debug = False,
    quiet: common.Quiet = False,
    *,
    loading: dict[str, Any],
) -> None:
    """Do the verdicts of `copo score --verdict` hold, on captions of which the false words are known?

    With --fit the figures are cross-validated: each image is judged by a fit that has not seen it.
    """
    with common.told_plainly(debug=debug, quiet=quiet):
        from causal_attrib.evaluation.intervals import check_draws

        # What needs no torch is told before it is imported.
        check_draws(resamples=bootstrap, seed=seed)

        from causal_attrib.evaluation.verdict import evaluate

        eval_common.check_output(out)
        common.check_outputs([out, fit], [captions, calibration])
        with common.progress("Scoring", quiet=quiet) as progress:
            result = evaluate(
                captions,
                scenes=scenes,
                model=functools.partial(common.load, model, debug=debug, **loading),
                level=cast(Any, level),
                against=cast(Any, against),
                wordings=wordings,
                calibration=calibration,
                fit=fit,
                batch_size=common.rows_per_forward(batch_size),
                resamples=bootstrap,
                seed=seed,
                progress=progress,
            )
        view = _view(result.scores, f"{result.model_name}  level={level}  {result.settings['data']}")
        eval_common.report(result, view, json=json, out=out, quiet=quiet)
        if fit is not None and not quiet:
            common.tell(f"Wrote {fit}; use it with copo score --verdict --calibration {fit}")


def _view(scores: WordVerdictScores, title: str) -> list[RenderableType]:
    from causal_attrib.evaluation.verdict.scores import BINS
    from causal_attrib.scores.verdict import AGAINST, UNDECIDED, VERDICTS

    main = eval_common.table(
        f"Verdicts  {title}",
        ("captions", "images", "AUROC", f"ECE ({BINS} bins)", "ECE, all words", "coverage"),
        [
            (
                scores.captions,
                scores.images,
                *map(_shown, (scores.auroc, scores.ece, scores.ece_all, scores.coverage)),
            )
        ],
    )
    kinds = eval_common.table(
        "By type of word",
        ("type", "words", "false", "AUROC", "coverage", *VERDICTS),
        (
            (kind.kind, kind.words, kind.false, _value(kind.auroc), _shown(kind.coverage), *kind.verdicts.values())
            for kind in scores.kinds
        ),
    )
    errors = eval_common.table(
        "By verdict",
        ("verdict", "words", "of which false", "error", ""),
        (
            (
                of.verdict,
                of.words,
                of.false,
                _shown(of.error),
                "" if of.verdict == UNDECIDED else f"are {'true' if of.verdict == AGAINST else 'false'}",
            )
            for of in scores.verdicts
        ),
    )
    captions = eval_common.table(
        "By caption",
        ("captions", "AUROC", "ECE", "true captions with a word against the image"),
        [(scores.captions, *map(_shown, (scores.caption_auroc, scores.caption_ece, scores.alarms)))],
    )
    legend = f"{eval_common.LEGEND} AUROC and ECE are over content words; {scores.no_claim:,} words claim nothing."
    return [main, legend, kinds, errors, captions]


def _shown(estimate: Estimate) -> str:
    """Two digits: what verdicts are measured by lies near 0 or 100."""
    interval = "" if estimate.low is None else f" [{estimate.low:.2f}, {estimate.high:.2f}]"
    return _value(estimate) + interval


def _value(estimate: Estimate) -> str:
    return "-" if estimate.value is None else f"{estimate.value:.2f}"

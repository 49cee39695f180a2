"""`copo eval degradation`: is a model less sure of itself where it sees less?"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any

import typer

from causal_attrib_cli import common
from causal_attrib_cli.eval import common as eval_common

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import RenderableType

    from causal_attrib.evaluation.degradation.curves import CurveChange
    from causal_attrib.vlm import VLM

_ASKED = "What is asked"


@common.reads_pictures
@common.flags_as("loading", common.LOADING)
def degradation(
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="SOURCE",
            help="Folder of copo scenes, or rows with image, question, answer.",
            show_default="rendered scenes",
        ),
    ] = None,
    scenes: Annotated[
        int | None,
        typer.Option(
            "--scenes", metavar="N", help="How many scenes to render.", show_default="100", rich_help_panel=_ASKED
        ),
    ] = None,
    reasoning: Annotated[
        str,
        typer.Option(
            "--reasoning", metavar="TEXT", help="What asks for reasoning, behind a question.", rich_help_panel=_ASKED
        ),
    ] = "Think first, then answer.",
    max_new_tokens: Annotated[
        int, typer.Option("--max-new-tokens", metavar="N", help="Longest text of the model.", rich_help_panel=_ASKED)
    ] = 128,
    out: Annotated[
        str, typer.Option("--out", "-o", metavar="FOLDER", help="Where the curves go, as CSV and PNG.")
    ] = "degradation",
    bootstrap: eval_common.Bootstrap = 1000,
    seed: common.Seed = 0,
    json: eval_common.Json = False,
    model: common.Model = None,
    batch_size: common.BatchSize = "auto",
    debug: common.Debug = False,
    quiet: common.Quiet = False,
    *,
    loading: dict[str, Any],
) -> None:
    """Accuracy and entropy of captions and answers, with and without reasoning, as pictures get worse.

    Blur, noise, JPEG and darkness in five steps. The trap: entropy falls while accuracy falls, so that the model is
    surest where it is wrong.
    """
    with common.told_plainly(debug=debug, quiet=quiet):
        from causal_attrib.evaluation.intervals import check_draws

        # What needs no torch is told before it is imported.
        check_draws(resamples=bootstrap, seed=seed)

        from pathlib import Path

        from causal_attrib.errors import InputError
        from causal_attrib.evaluation.degradation import evaluate
        from causal_attrib.io.atomic import replace_file
        from causal_attrib.results.formats import check_output

        folder = Path(out)
        if folder.exists() and not folder.is_dir():
            raise InputError(f"{folder} is a file; name a folder for the curves with --out.")

        def load() -> VLM:
            """Once what is asked is known to be right, and before the model takes its time."""
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise InputError(f"{folder} cannot be written ({error.strerror}); choose another folder.") from None
            check_output(folder / "degradation.csv")
            return common.load(model, debug=debug, **loading)

        with common.progress("Asking the model", quiet=quiet) as progress:
            result = evaluate(
                source,
                scenes=scenes,
                model=load,
                reasoning=reasoning,
                max_new_tokens=max_new_tokens,
                batch_size=common.rows_per_forward(batch_size),
                resamples=bootstrap,
                seed=seed,
                progress=progress,
            )
        curves = result.to_frame()
        replace_file(folder / "degradation.csv", curves.to_csv(index=False, lineterminator="\n").encode())
        replace_file(folder / "degradation.png", result.figure())
        view = _view(curves, result.changes, f"{result.model_name}  {result.images} images")
        eval_common.report(result, view, json=json, out=None, quiet=quiet)
        if not quiet:
            common.tell(f"Wrote degradation.csv and degradation.png to {folder}")


def _view(curves: pd.DataFrame, changes: list[CurveChange], title: str) -> list[RenderableType]:
    from causal_attrib.evaluation.degradation.pictures import WORST
    from causal_attrib.evaluation.intervals import ENOUGH

    ends = {(row.mode, row.degradation, row.severity): row for row in curves.itertuples()}

    def from_to(first: float, last: float, form: str) -> str:
        return " to ".join("-" if math.isnan(value) else format(value, form) for value in (first, last))

    def cells(change: CurveChange) -> tuple[str, ...]:
        first, last = (ends[change.mode, change.degradation, severity] for severity in (0, WORST))
        return (
            f"{change.mode}, {change.degradation}",
            from_to(first.accuracy, last.accuracy, ".1f"),
            eval_common.shown(change.accuracy),
            from_to(first.entropy, last.entropy, ".3f"),
            eval_common.shown(change.entropy, ".3f"),
            "trap" if change.is_trap else "no warning" if change.no_warning else "",
        )

    main = eval_common.table(
        f"Degradation  {title}, severity 0 to {WORST}",
        ("", "accuracy, %", "change", "entropy, nats", "change", ""),
        map(cells, changes),
    )
    legend = (
        "95 % bootstrap intervals over images. trap: accuracy and entropy fall, both with the whole interval; "
        "no warning: accuracy does, and entropy does not rise with its whole interval. "
        f"Of fewer than {ENOUGH} images neither is said."
    )
    return [main, legend]

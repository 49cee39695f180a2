"""`copo eval degradation`: is a model less sure of itself where it sees less?"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

import typer

from causal_attrib_cli import common
from causal_attrib_cli.eval import common as eval_common

if TYPE_CHECKING:
    import pandas as pd

    from causal_attrib.evaluation.degradation.curves import CurveChange

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
    loading: dict,
) -> None:
    """Accuracy and entropy of captions and answers, with and without reasoning, as pictures get worse.

    Blur, noise, JPEG and darkness in five steps. The trap: entropy falls while accuracy falls, so that the model is
    surest where it is wrong.
    """
    with common.told_plainly(debug=debug, quiet=quiet):
        from pathlib import Path

        from causal_attrib.choices import check_batch_size
        from causal_attrib.errors import InputError
        from causal_attrib.evaluation.degradation import curves as degradation_curves
        from causal_attrib.evaluation.degradation import tasks as degradation_data
        from causal_attrib.evaluation.degradation.figure import figure
        from causal_attrib.evaluation.degradation.study import study
        from causal_attrib.io.atomic import replace_file
        from causal_attrib.results.formats import check_output

        if source is not None and scenes is not None:
            raise InputError("--scenes renders pictures and SOURCE has some; leave one of them out.")
        if max_new_tokens < 1:
            raise InputError(f"--max-new-tokens is {max_new_tokens}, but a text has 1 token or more.")
        rows = common.rows_per_forward(batch_size)
        check_batch_size(rows)
        draws = {"resamples": bootstrap, "seed": seed}
        degradation_curves.check_draws(**draws)
        suffix = f" {reasoning.strip()}"
        if source is None:
            items = degradation_data.rendered(100 if scenes is None else scenes, seed, suffix)
        else:
            items = degradation_data.read_items(source, seed, suffix)
        folder = Path(out)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{folder} cannot be written ({error.strerror}); choose another folder.") from None
        check_output(folder / "degradation.csv")
        vlm = common.load(model, debug=debug, **loading)
        with common.progress("Asking the model", quiet=quiet) as progress:
            texts = study(items, vlm, longest=max_new_tokens, batch_size=rows, seed=seed, progress=progress)
        curves = degradation_curves.curves(texts, **draws)
        changes = degradation_curves.changes(texts, **draws)
        replace_file(folder / "degradation.csv", curves.to_csv(index=False, lineterminator="\n").encode())
        replace_file(folder / "degradation.png", figure(curves, changes))

        settings = {
            "source": source,
            "images": len(items),
            "model": vlm.record,
            "reasoning": suffix.strip(),
            "max_new_tokens": max_new_tokens,
            "bootstrap": bootstrap,
            "seed": seed,
        }
        results = {"changes": changes, "curves": degradation_curves.records(curves)}
        view = _view(curves, changes, f"{vlm.name}  {len(items)} images")
        unit = "percent; entropy in nats"
        eval_common.report("degradation", settings, results, view, [], json=json, out=None, quiet=quiet, unit=unit)
        if not quiet:
            common.tell(f"Wrote degradation.csv and degradation.png to {folder}")


def _view(curves: pd.DataFrame, changes: list[CurveChange], title: str) -> list:
    from causal_attrib.evaluation.degradation.pictures import WORST

    ends = {(row.mode, row.degradation, row.severity): row for row in curves.itertuples()}

    def from_to(first: float, last: float, form: str) -> str:
        return " to ".join("-" if math.isnan(value) else format(value, form) for value in (first, last))

    def cells(change: CurveChange) -> tuple:
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
        "no warning: accuracy does, and entropy does not rise with its whole interval."
    )
    return [main, legend]

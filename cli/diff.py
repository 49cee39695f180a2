"""`copo diff`: two checkpoints that scored the same captions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from causal_attrib_cli import common
from causal_attrib_cli.eval import common as eval_common

if TYPE_CHECKING:
    from rich.console import RenderableType

    from causal_attrib.batch.diff import Diff

_LEGEND = (
    "Means over words, with 95 % bootstrap intervals of the change over images. log-probability, entropy and evidence "
    "are in nats; the rest are differences of outcomes or probabilities."
)


def diff(
    first: Annotated[str, typer.Argument(metavar="A", help="Scores of one model.", show_default=False)],
    second: Annotated[str, typer.Argument(metavar="B", help="Scores of the other.", show_default=False)],
    bootstrap: eval_common.Bootstrap = 1000,
    seed: common.Seed = 0,
    json: eval_common.Json = False,
    out: eval_common.Out = None,
    debug: common.Debug = False,
    quiet: common.Quiet = False,
) -> None:
    """What changed from A to B, two files that copo score --input wrote of the same captions.

    With --verdict in both, also which words moved from prior to evidence.
    """
    with common.told_plainly(debug=debug, quiet=quiet):
        from causal_attrib.batch.diff import diff as compare

        eval_common.check_output(out)
        common.check_outputs([out], [first, second])
        found = compare(first, second, resamples=bootstrap, seed=seed)
        eval_common.report(found, _view(found), json=json, out=out, quiet=quiet)


def _view(found: Diff) -> list[RenderableType]:
    view: list[RenderableType] = [
        eval_common.table(
            f"A to B  {found.captions} captions, {found.images} images, {found.words} words",
            ("", "words", "A", "B", "B - A"),
            (
                (one.measure, one.words, f"{one.first:.3f}", f"{one.second:.3f}", eval_common.shown(one.change, "+.3f"))
                for one in found.measures
            ),
        ),
        _LEGEND,
        _changed(found),
    ]
    if found.transitions is not None and found.grounded is not None:
        moved = sorted(found.transitions.items(), key=lambda item: -item[1])
        view += [
            eval_common.table(
                "Verdicts of words", ("in A", "in B", "words"), ((*verdicts, count) for verdicts, count in moved)
            ),
            f"Grounded: {found.grounded.first:.1f} % in A, {found.grounded.second:.1f} % in B, "
            f"change {eval_common.shown(found.grounded.change, '+.1f')} points",
        ]
    return view


def _changed(found: Diff) -> RenderableType:
    if not found.changed:
        return (
            f"No word stands in two images or more, so that none is ranked by how much its {found.ranked_by} changed."
        )
    if not any(one.change.value for one in found.changed):
        return f"No word's {found.ranked_by} changed."
    return eval_common.table(
        f"Words whose {found.ranked_by} changed most (in two images or more; each interval is of its word alone)",
        ("word", "times", "images", "A", "B", "B - A"),
        (
            (
                *(one.word, one.count, one.images, f"{one.first:.3f}", f"{one.second:.3f}"),
                eval_common.shown(one.change, "+.3f"),
            )
            for one in found.changed
        ),
    )

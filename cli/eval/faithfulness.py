"""`copo eval faithfulness`: which saliency method tells the truth about the model, on scenes whose truth is known."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from causal_attrib_cli import common
from causal_attrib_cli.eval import common as eval_common

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from causal_attrib.evaluation.faithfulness.on_scenes import MethodScores
    from causal_attrib.evaluation.intervals import Estimate

_LEGEND = (
    "Percent, with 95 % bootstrap intervals over scenes. Maps of object words; cells are hidden with the baseline "
    "{baseline}, in {steps} steps. beats chance: deletes better than {orders} orders at random do (p <= .05); below "
    "random: deletion area below their mean; deletion, insertion: area less that mean, of what the picture adds; edges "
    "and mask are maps made without the model: an edge detector, and the object's own mask."
)


@common.flags_as("loading", common.LOADING)
def faithfulness(
    scenes: Annotated[int, typer.Option("--scenes", metavar="N", help="How many scenes to render.")] = 100,
    methods: Annotated[
        str, typer.Option("--methods", metavar="A,B,...", help="Methods of `copo saliency`, as they are by default.")
    ] = "occlusion,integrated_gradients,gradient_x_input,gradient",
    baseline: Annotated[
        str, typer.Option("--baseline", metavar="NAME", help="What a hidden region shows: blur, neutral, mean, swap.")
    ] = "blur",
    steps: Annotated[int, typer.Option("--steps", metavar="K", help="In how many steps cells are hidden.")] = 16,
    orders: Annotated[int, typer.Option("--orders", metavar="N", help="Orders at random, 19 or more.")] = 20,
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
    """Faithfulness of saliency methods: do their maps beat chance, and do they find the object?

    Renders scenes that the bundled model has not seen and makes a map for every object word. Each scene takes some
    hundreds of forwards.
    """
    with common.told_plainly(debug=debug, quiet=quiet):
        from causal_attrib.evaluation.intervals import check_draws

        # What needs no torch is told before it is imported.
        check_draws(resamples=bootstrap, seed=seed)

        from causal_attrib.evaluation.faithfulness import evaluate

        eval_common.check_output(out)
        with common.progress("Scenes", quiet=quiet) as progress:
            result = evaluate(
                cast(Any, [name.strip() for name in methods.split(",")]),
                scenes=scenes,
                model=functools.partial(common.load, model, debug=debug, **loading),
                baseline=cast(Any, baseline),
                steps=steps,
                orders=orders,
                batch_size=common.rows_per_forward(batch_size),
                resamples=bootstrap,
                seed=seed,
                progress=progress,
            )
        view: list[RenderableType] = [
            _table(result.methods, scenes),
            _LEGEND.format(baseline=baseline, steps=steps, orders=orders),
        ]
        eval_common.report(result, view, json=json, out=out, quiet=quiet)


def _table(ranked: list[MethodScores], scenes: int) -> Table:
    return eval_common.table(
        f"Faithfulness  {ranked[0].maps} maps by each method, of {scenes} scenes",
        ("", "beats\nchance", "below\nrandom", "deletion", "insertion", "pointing", "mass -\narea"),
        [(scores.method, *map(_shown, _numbers(scores))) for scores in ranked],
    )


def _numbers(scores: MethodScores) -> tuple[Estimate, ...]:
    shares = (scores.beats_chance, scores.below_random)
    return *shares, scores.deletion, scores.insertion, scores.pointing, scores.mass_above_area


def _shown(estimate: Estimate) -> str:
    """A number and its interval in whole percents: six of them stand side by side."""
    if estimate.value is None:
        return "-"
    if estimate.low is None:
        return f"{estimate.value:.0f}"
    return f"{estimate.value:.0f} [{estimate.low:.0f}, {estimate.high:.0f}]"

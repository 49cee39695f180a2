"""Saliency methods ranked on rendered scenes in one call: `evaluate`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from causal_attrib.choices import Baseline, BatchSize, Method, check_batch_size
from causal_attrib.evaluation.faithfulness.settings import check_settings
from causal_attrib.evaluation.intervals import check_draws
from causal_attrib.evaluation.results import Result, columns, frame, loaded

if TYPE_CHECKING:
    import pandas as pd

    from causal_attrib.evaluation.faithfulness.on_scenes import JudgedMap, MethodScores
    from causal_attrib.vlm import VLM

METHODS: tuple[Method, ...] = ("occlusion", "integrated_gradients", "gradient_x_input", "gradient")


@dataclass(frozen=True)
class FaithfulnessResult(Result):
    """Which saliency method tells the truth about the model.

    methods: the numbers of each, best first
    maps:    what was found of every map of every word
    """

    benchmark: ClassVar[str] = "faithfulness"

    methods: list[MethodScores]
    maps: list[JudgedMap]

    def numbers(self) -> dict[str, object]:
        return {"methods": self.methods}

    def to_frame(self) -> pd.DataFrame:
        """A row for each method, best first."""
        return frame(columns(scores) for scores in self.methods)


def evaluate(
    methods: Sequence[Method] = METHODS,
    *,
    scenes: int = 100,
    model: str | VLM | Callable[[], VLM] | None = None,
    baseline: Baseline = "blur",
    steps: int = 16,
    orders: int = 20,
    batch_size: BatchSize = "auto",
    resamples: int = 1000,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> FaithfulnessResult:
    """Do the maps of saliency methods beat chance, and do they find the object, on scenes whose truth is known?

    Args:
        methods: of `causal_attrib.saliency`, as they are by default.
        scenes: how many to render.
        model: an id or folder, a loaded model, or what loads one; None: the small one in the package.
        baseline: what a hidden cell shows: "blur", "neutral", "mean" or "swap".
        steps: in how many cells are hidden.
        orders: at random, 19 or more.
        batch_size: pictures per forward.
        resamples, seed: of the bootstrap over scenes; the seed is that of the scenes too.
        progress: called with the number of scenes done, and of all.

    Raises:
        InputError: a setting is out of range, or a method does not work with the model.
    """
    check_settings(methods, scenes, baseline=baseline, steps=steps, orders=orders, seed=seed)
    check_batch_size(batch_size)
    check_draws(resamples=resamples, seed=seed)
    vlm = loaded(model)
    # Only now, since it imports torch: what is wrong above is told without it.
    from causal_attrib.evaluation.faithfulness.on_scenes import judge_scenes, rank

    judged = judge_scenes(
        vlm,
        methods,
        scenes,
        baseline=baseline,
        steps=steps,
        orders=orders,
        seed=seed,
        batch_size=batch_size,
        progress=progress,
    )
    settings = {
        "model": vlm.record,
        "methods": list(methods),
        "scenes": scenes,
        "baseline": baseline,
        "steps": steps,
        "orders": orders,
        "seed": seed,
        "bootstrap": resamples,
    }
    return FaithfulnessResult(settings, [], rank(judged, bootstrap=resamples, seed=seed), judged)

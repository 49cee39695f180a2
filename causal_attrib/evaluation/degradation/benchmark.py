"""The degradation study from pictures to curves in one call: `evaluate`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from causal_attrib.choices import MOST_TOKENS, check_batch_size, check_count
from causal_attrib.errors import InputError
from causal_attrib.evaluation.degradation.tasks import read_items, rendered
from causal_attrib.evaluation.intervals import check_draws, few_notes
from causal_attrib.evaluation.results import FileName, Result, loaded

if TYPE_CHECKING:
    import pandas as pd

    from causal_attrib.evaluation.degradation.curves import CurveChange
    from causal_attrib.vlm import VLM

REASONING = "Think first, then answer."


@dataclass(frozen=True)
class DegradationResult(Result):
    """Accuracy and entropy as pictures get worse.

    changes:    from the picture as it is to the worst, for each mode and degradation
    curves:     a row for each mode, degradation and severity
    texts:      a row for each text of the model
    images:     how many there are
    model_name: of the model
    """

    benchmark: ClassVar[str] = "degradation"
    unit: ClassVar[str] = "percent; entropy in nats"

    changes: list[CurveChange]
    curves: pd.DataFrame
    texts: pd.DataFrame
    images: int
    model_name: str

    def numbers(self) -> dict[str, object]:
        from causal_attrib.evaluation.degradation.curves import records

        return {"changes": self.changes, "curves": records(self.curves)}

    def to_frame(self) -> pd.DataFrame:
        """The curves."""
        return self.curves

    def figure(self) -> bytes:
        """The curves as a PNG."""
        from causal_attrib.evaluation.degradation.figure import figure

        return figure(self.curves, self.changes)


def evaluate(
    source: FileName | None = None,
    *,
    scenes: int | None = None,
    model: str | VLM | Callable[[], VLM] | None = None,
    reasoning: str = REASONING,
    max_new_tokens: int = 128,
    batch_size: int | str = "auto",
    resamples: int = 1000,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> DegradationResult:
    """Accuracy and entropy of captions and answers, with and without reasoning, as pictures get worse.

    Args:
        source: a folder that `copo scenes` wrote, or rows with image, question and answer; None: rendered scenes.
        scenes: how many to render; None: 100.
        model: an id or folder, a loaded model, or what loads one; None: the small one in the package.
        reasoning: what asks for reasoning, behind a question.
        max_new_tokens: of a text.
        batch_size: pictures per forward.
        resamples, seed: of the bootstrap over images; the seed is that of the scenes too.
        progress: called with the number of questions done, and of all.

    Raises:
        InputError: rows that cannot be read, or values that cannot be.
    """
    if source is not None and scenes is not None:
        raise InputError("--scenes renders pictures and SOURCE has some; leave one of them out.")
    check_count("The number of new tokens", max_new_tokens, MOST_TOKENS)
    check_batch_size(batch_size)
    check_draws(resamples=resamples, seed=seed)
    if not isinstance(reasoning, str) or not reasoning.strip():
        raise InputError("The text that asks for reasoning is empty or none; give one, or leave --reasoning out.")
    suffix = f" {reasoning.strip()}"
    if source is None:
        items = rendered(100 if scenes is None else scenes, seed, suffix)
    else:
        items = read_items(source, seed, suffix)
    vlm = loaded(model)
    # Only now, since they import torch: what is wrong above is told without it.
    from causal_attrib.evaluation.degradation.curves import changes, curves
    from causal_attrib.evaluation.degradation.study import study

    texts = study(items, vlm, longest=max_new_tokens, batch_size=batch_size, seed=seed, progress=progress)
    settings = {
        "source": source,
        "images": len(items),
        "model": vlm.record,
        "reasoning": suffix.strip(),
        "max_new_tokens": max_new_tokens,
        "bootstrap": resamples,
        "seed": seed,
    }
    found = changes(texts, resamples=resamples, seed=seed)
    drawn = curves(texts, resamples=resamples, seed=seed)
    return DegradationResult(settings, few_notes(texts.image.nunique()), found, drawn, texts, len(items), vlm.name)

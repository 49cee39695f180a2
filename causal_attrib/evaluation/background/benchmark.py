"""The background study from rows to numbers in one call: `evaluate`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from causal_attrib.evaluation.background.rows import MEASURES, read_questions
from causal_attrib.evaluation.background.shares import (
    BackgroundDifference,
    BackgroundScores,
    Measured,
    differences,
    score,
)
from causal_attrib.evaluation.intervals import check_draws
from causal_attrib.evaluation.results import FileName, Result, columns, frame, loaded, plain_fields
from causal_attrib.scores.saliency_methods.choice import one_of

if TYPE_CHECKING:
    import pandas as pd

    from causal_attrib.vlm import VLM


@dataclass(frozen=True)
class BackgroundResult(Result):
    """How much of an answer's saliency lies on the background.

    arms:            the numbers of each arm on each split of its answers
    image_less_text: the image arm less the text arm, in percentage points
    measured:        each question put to each arm
    model_name:      of the model
    """

    benchmark: ClassVar[str] = "background"

    arms: list[BackgroundScores]
    image_less_text: list[BackgroundDifference]
    measured: list[Measured]
    model_name: str

    def numbers(self) -> dict[str, object]:
        return {"arms": self.arms, "image_less_text": self.image_less_text}

    def to_frame(self) -> pd.DataFrame:
        """A row for each arm and split, and one for each split of the difference."""
        rows = [columns(scores) for scores in self.arms]
        return frame([*rows, *({"arm": "image less text", **columns(less)} for less in self.image_less_text)])

    def per_question(self) -> list[dict[str, object]]:
        """A row for each reply: what was said, whether it is right, and how its saliency falls."""
        return [{**plain_fields(reply), "density": reply.background.density} for reply in self.measured]


def evaluate(
    rows: FileName,
    *,
    model: str | VLM | Callable[[], VLM] | None = None,
    measure: str = "gradient",
    resamples: int = 1000,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> BackgroundResult:
    """Do answers lean on the background, with the image and with its description in its place?

    Args:
        rows: a folder that `copo scenes` wrote, or a file of rows with image, mask (white on the objects), question and
            answer, and, for the text arm, description and spans.
        model: an id or folder, a loaded model, or what loads one; None: the small one in the package.
        measure: saliency: "gradient" or "gradient_x_input".
        resamples, seed: of the bootstrap over images.
        progress: called with the number of questions done, and of all.

    Raises:
        InputError: rows that cannot be read, a model whose image tokens stand for no part of the picture, or values
            that cannot be.
    """
    one_of("measure", measure, MEASURES)
    check_draws(resamples=resamples, seed=seed)
    asked = read_questions(rows)
    vlm = loaded(model)
    # Only now, since it imports torch: what is wrong above is told without it.
    from causal_attrib.evaluation.background.study import study

    measured = study(vlm, asked, measure=measure, progress=progress)
    described = sum(row.description is not None for row in asked)
    scores = score(measured, resamples=resamples, seed=seed)
    settings = {
        "rows": rows,
        "questions": len(asked),
        "described": described,
        "model": vlm.record,
        "measure": measure,
        "bootstrap": resamples,
        "seed": seed,
    }
    compared = differences(measured, resamples=resamples, seed=seed)
    return BackgroundResult(settings, _left_out(len(asked), described, scores), scores, compared, measured, vlm.name)


def _left_out(asked: int, described: int, scores: Sequence[BackgroundScores]) -> list[str]:
    """How many questions each arm lacks."""
    answers = {(arm.arm, arm.split): arm.answers for arm in scores}
    notes = []
    for arm, put in (("image", asked), ("text", described)):
        left_out = put - answers.get((arm, "all"), 0)
        if left_out:
            notes.append(
                f"{left_out} of {put} questions are left out of the {arm} arm: no answer, or nothing on one side of "
                "the object's border."
            )
    if not described:
        notes.append("no row has a description, so there is no text arm.")
    return notes

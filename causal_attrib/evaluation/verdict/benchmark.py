"""Verdicts held against captions whose false words are known, in one call: `evaluate`."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from causal_attrib.choices import WORD_LEVELS, Against, BatchSize, Level, check_batch_size, check_flag, check_reference
from causal_attrib.errors import InputError
from causal_attrib.evaluation.intervals import check_draws, few_notes
from causal_attrib.evaluation.results import FileName, Result, columns, frame, loaded
from causal_attrib.evaluation.verdict.labelled import Labelled, Scenes, WordedScenes, read_captions
from causal_attrib.results.formats import check_output
from causal_attrib.scores.verdict import UNFITTED, model_of, read_calibration, write_calibration

if TYPE_CHECKING:
    import pandas as pd

    from causal_attrib.evaluation.verdict.scores import WordVerdictScores
    from causal_attrib.vlm import VLM


@dataclass(frozen=True)
class VerdictResult(Result):
    """How good verdicts are.

    scores:     the numbers
    words:      every word whose truth is known, as `verdict.scores.judge` gives it; with a fit, as a fit judges it that
                had not seen its image
    fitted:     the file of the calibration that was made
    model_name: of the model
    """

    benchmark: ClassVar[str] = "verdict"

    scores: WordVerdictScores
    words: pd.DataFrame
    fitted: FileName | None
    model_name: str

    def numbers(self) -> dict[str, object]:
        return {"scores": self.scores, "fitted": self.fitted}

    def to_frame(self) -> pd.DataFrame:
        """A row for all words, one for each kind of word, and one for each verdict."""
        rows: list[dict[str, object]] = [{"words_of": "all", **columns(self.scores)}]
        rows += [{"words_of": f"kind {kind.kind}", **columns(kind)} for kind in self.scores.kinds]
        rows += [{"words_of": f"verdict {verdict.verdict}", **columns(verdict)} for verdict in self.scores.verdicts]
        return frame(rows).drop(columns=["kind", "verdict"], errors="ignore")


def evaluate(
    captions: FileName | None = None,
    *,
    scenes: int | None = None,
    model: str | VLM | Callable[[], VLM] | None = None,
    level: Level = "token",
    against: Against = "colour",
    wordings: bool = False,
    calibration: FileName | None = None,
    fit: FileName | None = None,
    batch_size: BatchSize = "auto",
    resamples: int = 1000,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> VerdictResult:
    """How often verdicts on words err, on captions of which the false words are known.

    Args:
        captions: rows with image, caption and lists of words under true and false; None: rendered scenes.
        scenes: how many to render, with one false word each; None: 500.
        wordings: caption the scenes in the wordings of `scenes.wordings` in turn, every other one truly.
        model: an id or folder, a loaded model, or what loads one; None: the small one in the package.
        level: of scoring, "token" or "word".
        against: the reference image, "colour" or "blur".
        calibration: the file to test; None: that of the package.
        fit: write a calibration that was fitted on these words to this file. The numbers are then cross-validated.
        batch_size: rows per forward.
        resamples, seed: of the bootstrap over images; the seed is that of the scenes too.
        progress: called with the number of captions done, and of all.

    Raises:
        InputError: a file that cannot be read or written, scenes that the calibration was fitted on, or values that
            cannot be.
    """
    if level not in WORD_LEVELS:
        raise InputError(f"There is no level {level!r}; choose one of {', '.join(WORD_LEVELS)}.")
    if fit is not None:
        if calibration is not None:
            raise InputError("--fit makes a calibration and --calibration tests one; leave one of them out.")
        if not os.fspath(fit).endswith(".json"):
            raise InputError(f"A calibration is JSON; end {fit} in .json.")
        check_output(fit)
    check_batch_size(batch_size)
    check_draws(resamples=resamples, seed=seed)
    check_reference(against)
    check_flag("wordings", wordings)
    if captions is not None and scenes is not None:
        raise InputError("--scenes renders pictures and --captions has some; leave one of them out.")
    if captions is not None and wordings:
        raise InputError("--wordings is for rendered scenes; leave it or the captions out.")
    chosen = None if fit is not None else read_calibration(calibration, level, against)
    labelled: Sequence[Labelled]
    if captions is None:
        scenes = 500 if scenes is None else scenes
        rendered = WordedScenes(scenes, seed) if wordings else Scenes(scenes, seed)
        data, labelled = rendered.data.format(f"{scenes:,}"), rendered
        # Scenes of one seed begin alike, however many there are; a fit on other captions has no seed.
        if chosen is not None and chosen.fitted["seed"] == seed:
            raise InputError(f"The calibration was fitted on the scenes of seed {seed}; test it on another --seed.")
    else:
        labelled = read_captions(captions)
        data = os.fspath(captions)
    vlm = loaded(model)
    # Only now, since they import torch: what is wrong above is told without it.
    from causal_attrib.evaluation.verdict.fit import fit as fitted
    from causal_attrib.evaluation.verdict.scores import BINS, judge, measure

    words = judge(
        labelled,
        vlm,
        level=level,
        against=against,
        calibration=chosen or UNFITTED,
        batch_size=batch_size,
        progress=progress,
    )
    warnings, name = [], model_of(vlm.record)
    if fit is not None:
        seed_of_scenes = None if captions is not None else seed
        chosen, words = fitted(words, model=name, level=level, data=data, seed=seed_of_scenes, against=against)
        write_calibration(fit, [chosen])
    assert chosen is not None  # read, or fitted
    if fit is None and name != chosen.model:
        warnings.append(chosen.record(name)["note"])
    scores = measure(words, resamples=resamples, seed=seed)
    warnings += few_notes(scores.images)
    settings = {
        "data": data,
        "model": vlm.record,
        "level": level,
        "against": against,
        "calibration": chosen.record(name),
        "cross_validated": fit is not None,
        "bins": BINS,
        "bootstrap": resamples,
        "seed": seed,
    }
    return VerdictResult(settings, warnings, scores, words, fit, vlm.name)

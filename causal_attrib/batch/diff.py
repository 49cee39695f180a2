"""Two checkpoints that scored the same captions: what changed, word by word.

A change is that of the second less the first, paired by word, and its interval draws whole images (`intervals`), since
words of a caption and captions of an image are no independent draws.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import ClassVar

import numpy as np
import pandas as pd

from causal_attrib.errors import InputError
from causal_attrib.evaluation.intervals import Estimate, by_cluster, check_draws, estimate
from causal_attrib.evaluation.results import Result, columns, frame
from causal_attrib.results import caption_files
from causal_attrib.results.attribution import Attribution, plain_word
from causal_attrib.results.caption_files import Scored
from causal_attrib.scores.settings import Settings

# What is compared, where both files have it. The first of the last three that they have is what words are ranked by.
MEASURES = ("logprob", "entropy", "sufficiency", "causal_completeness", "p_false", "necessity", "evidence")
_RANKED_BY = ("evidence", "necessity", "logprob")
# Without these alike, numbers of two files mean different things.
_SETTINGS = ("against", "mask", "level", "tokens", "estimator", "coupling", "samples")
GROUNDED = "grounded"


@dataclass(frozen=True)
class MeasureChange:
    """Means of a measure over the words that both files have it of, and how much the second is above the first."""

    measure: str
    words: int
    first: float
    second: float
    change: Estimate


@dataclass(frozen=True)
class WordChange:
    """The same for one word, over all places where captions have it."""

    word: str
    count: int
    images: int
    first: float
    second: float
    change: Estimate


@dataclass(frozen=True)
class Diff(Result):
    """What changed from the first file to the second.

    only_first, only_second: captions that the other file lacks; they are left out
    ranked_by:   the measure of `changed`
    changed:     the words of two or more images whose mean changed most, the largest first
    transitions: number of words by (verdict in the first, verdict in the second); None without verdicts
    grounded:    share of words in percent whose verdict is "grounded"; None without verdicts
    """

    benchmark: ClassVar[str] = "diff"
    unit: ClassVar[str] = "as measured; grounded in percent"

    captions: int
    images: int
    words: int
    only_first: int
    only_second: int
    measures: list[MeasureChange]
    ranked_by: str
    changed: list[WordChange]
    transitions: dict[tuple[str, str], int] | None
    grounded: MeasureChange | None

    def numbers(self) -> dict[str, object]:
        own = [field.name for field in fields(self) if field.name not in ("settings", "warnings")]
        moved = self.transitions
        listed = None
        if moved is not None:
            listed = [{"first": first, "second": second, "words": words} for (first, second), words in moved.items()]
        return {name: listed if name == "transitions" else getattr(self, name) for name in own}

    def to_frame(self) -> pd.DataFrame:
        """A row for each measure, and one for the share of grounded words."""
        return frame(columns(change) for change in [*self.measures, self.grounded] if change is not None)


def diff(
    first: str | os.PathLike, second: str | os.PathLike, *, most: int = 12, resamples: int = 1000, seed: int = 0
) -> Diff:
    """Compare two files of `copo score --input`, caption by caption (by `caption_id`) and word by word.

    Args:
        most: how many words to rank.

    Raises:
        InputError: no file of scored captions, no caption in common, or captions, pictures or settings that differ.
    """
    check_draws(resamples=resamples, seed=seed)
    before, after = ({one.caption_id: one for one in caption_files.read(path)} for path in (first, second))
    shared = [name for name in before if name in after]
    if not shared:
        raise InputError(f"{first} and {second} have no caption_id in common; score the same file with both models.")
    for name in shared:
        _check_alike(before[name], after[name], f"{first} and {second}")
    words = pd.concat([_words(before[name], after[name]) for name in shared], ignore_index=True)
    draw = {"resamples": resamples, "seed": seed}
    there = [measure for measure in MEASURES if (words[f"{measure}_1"] * words[f"{measure}_2"]).notna().any()]
    ranked_by = next((measure for measure in _RANKED_BY if measure in there), None)
    if ranked_by is None:
        raise InputError(
            f"{first} and {second} have no word in common that both scored; score the same file with both."
        )
    judged = words.dropna(subset=["verdict_1", "verdict_2"])
    warnings = [
        f"{len(part) - len(shared)} captions are only in {where}; they are left out."
        for part, where in ((before, "A"), (after, "B"))
        if len(part) > len(shared)
    ]
    if os.path.realpath(first) == os.path.realpath(second):
        warnings.append("A and B are the same file; give the scores of two models.")
    elif all((words[f"{measure}_1"] == words[f"{measure}_2"]).all() for measure in there):
        warnings.append("A and B have the same numbers throughout, as of one model that scored the file twice.")
    if not len(judged):
        warnings.append("both files need copo score --verdict to tell which words moved from prior to evidence.")
    return Diff(
        settings={"first": first, "second": second, "bootstrap": resamples, "seed": seed},
        warnings=warnings,
        captions=len(shared),
        images=words["image"].nunique(),
        words=len(words),
        only_first=len(before) - len(shared),
        only_second=len(after) - len(shared),
        measures=[_change(words, measure, draw) for measure in there],
        ranked_by=ranked_by,
        changed=_ranked(words, ranked_by, most, draw),
        transitions=_transitions(judged) if len(judged) else None,
        grounded=_grounded(judged, draw) if len(judged) else None,
    )


def _check_alike(one: Scored, other: Scored, files: str) -> None:
    name, records = one.caption_id, (one.record, other.record)
    if records[0]["image"]["sha256"] != records[1]["image"]["sha256"]:
        raise InputError(f"Caption {name!r} is of another picture in one of {files}; score the same file with both.")
    if records[0]["caption"] != records[1]["caption"]:
        raise InputError(
            f"Caption {name!r} reads differently in {files}; give captions in the file that both models score."
        )
    texts = [[token["text"] for token in record["tokens"]] for record in records]
    if texts[0] != texts[1]:
        raise InputError(f"Caption {name!r} has other tokens in one of {files}; compare models of one tokenizer.")
    settings = [_settings(record) for record in records]
    for key, value in settings[0].items():
        if value != settings[1][key]:
            raise InputError(
                f"Caption {name!r} was scored with the {key} {value!r} and {settings[1][key]!r} in {files}; score both "
                "with the same flags."
            )


def _settings(record: dict) -> dict[str, object]:
    """What numbers go by; a setting that a file does not have is as it is without the flag."""
    outcome, settings = record["outcome"], record["settings"]
    of_outcome = {"outcome": outcome["name"], "words of the outcome": outcome.get("words", "all")}
    return of_outcome | {key: settings.get(key, getattr(Settings, key)) for key in _SETTINGS}


def _words(one: Scored, other: Scored) -> pd.DataFrame:
    """A row per word of a caption, with the values of both files."""
    both = [Attribution.from_dict(scored.record).words() for scored in (one, other)]
    columns = {
        f"{name}_{number}": [getattr(word, name) for word in attribution]
        for number, attribution in enumerate(both, 1)
        for name in (*MEASURES, "verdict")
    }
    frame = pd.DataFrame(columns).astype({f"{name}_{number}": float for name in MEASURES for number in (1, 2)})
    return frame.assign(image=one.record["image"]["sha256"], word=[plain_word(word.text) for word in both[0]])


def _change(words: pd.DataFrame, measure: str, draw: dict) -> MeasureChange:
    names = [f"{measure}_1", f"{measure}_2"]
    there = words.dropna(subset=names)
    first, second = (there[name].mean() for name in names)
    return MeasureChange(
        measure, len(there), first, second, _mean(there["image"], there[names[1]] - there[names[0]], draw)
    )


def _mean(images: Sequence[str], values: Sequence[float], draw: dict) -> Estimate:
    """The mean of values, with an interval over images."""
    counts_NK = np.column_stack([np.asarray(values, float), np.ones(len(values))])
    mean = {"mean": lambda sums: sums[..., 0] / sums[..., 1]}
    return estimate(by_cluster(list(images), counts_NK), mean, **draw)["mean"]


def _ranked(words: pd.DataFrame, measure: str, most: int, draw: dict) -> list[WordChange]:
    names = [f"{measure}_1", f"{measure}_2"]
    there = words.dropna(subset=names)
    there = there.assign(change=there[names[1]] - there[names[0]])
    of_word = there.groupby("word").agg(change=("change", "mean"), images=("image", "nunique"))
    of_word = of_word[of_word["images"] >= 2]
    largest = of_word["change"].abs().sort_values(ascending=False, kind="stable").index[:most]
    ranked = []
    for word in largest:
        rows = there[there["word"] == word]
        ranked.append(
            WordChange(
                word=word,
                count=len(rows),
                images=int(of_word.loc[word, "images"]),
                first=float(rows[names[0]].mean()),
                second=float(rows[names[1]].mean()),
                change=_mean(rows["image"], rows["change"], draw),
            )
        )
    return ranked


def _transitions(judged: pd.DataFrame) -> dict[tuple[str, str], int]:
    return {pair: int(count) for pair, count in judged.groupby(["verdict_1", "verdict_2"]).size().items()}


def _grounded(judged: pd.DataFrame, draw: dict) -> MeasureChange:
    first, second = (100.0 * (judged[name] == GROUNDED) for name in ("verdict_1", "verdict_2"))
    return MeasureChange(
        GROUNDED, len(judged), first.mean(), second.mean(), _mean(judged["image"], second - first, draw)
    )

"""POPE and other yes/no questions from files to numbers in one call: `evaluate`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from causal_attrib.errors import InputError
from causal_attrib.evaluation.intervals import Estimate, check_draws
from causal_attrib.evaluation.pope.prompts import of_questions
from causal_attrib.evaluation.pope.questions import (
    Question,
    pair,
    read_own_replies,
    read_questions,
    read_replies,
)
from causal_attrib.evaluation.pope.scores import (
    UNDECIDED,
    JudgedAnswer,
    YesNoDifference,
    YesNoScores,
    difference,
    distinct_accuracy,
    judge,
    mean_f1,
    score,
)
from causal_attrib.evaluation.prompts import ModelRun
from causal_attrib.evaluation.results import FileName, Result, columns, frame, interval_columns
from causal_attrib.evaluation.yesno import PARSERS

if TYPE_CHECKING:
    import pandas as pd

UNANSWERED = ("error", "skip")


@dataclass(frozen=True)
class Splits:
    """The numbers of each set of questions, and of several together; those are None where there is one.

    pooled:   all rows
    mean_f1:  the mean of the F1 of each, which is what LLaVA's tables have
    distinct: how many distinct questions there are, and accuracy over them
    """

    sets: list[YesNoScores]
    pooled: YesNoScores | None = None
    mean_f1: Estimate | None = None
    distinct: tuple[int, Estimate] | None = None

    def numbers(self) -> dict[str, object]:
        """By the name that they have in JSON."""
        if self.distinct is None:
            return {"sets": self.sets}
        questions, accuracy = self.distinct
        return {
            "sets": self.sets,
            "pooled": self.pooled,
            "mean_f1": self.mean_f1,
            "distinct": {"questions": questions, "accuracy": accuracy},
        }


@dataclass(frozen=True)
class CorrectedSplits(Splits):
    """The same answers by corrected labels.

    dropped: of each set, how many answered questions have no corrected label and are left out
    changed: of each set, how many labels differ
    """

    dropped: tuple[int, ...] = ()
    changed: tuple[int, ...] = ()

    def numbers(self) -> dict[str, object]:
        return {**super().numbers(), "dropped": self.dropped, "changed": self.changed}


@dataclass(frozen=True)
class PopeResult(Result):
    """Answers to yes/no questions.

    splits:     the numbers by the labels of the questions
    corrected:  the numbers by corrected labels, where some were given
    difference: the answers less those of the baseline, in percentage points
    """

    benchmark: ClassVar[str] = "pope"

    splits: Splits
    corrected: CorrectedSplits | None
    difference: YesNoDifference | None

    def numbers(self) -> dict[str, object]:
        numbers = self.splits.numbers()
        if self.corrected is not None:
            numbers["corrected"] = self.corrected.numbers()
        if self.difference is not None:
            numbers["difference"] = self.difference
        return numbers

    def to_frame(self) -> pd.DataFrame:
        """A row for each set of questions and label set, and for the pooled rows where there are several sets."""
        rows = []
        for labels, splits in (("given", self.splits), ("corrected", self.corrected)):
            if splits is None:
                continue
            for scores in [*splits.sets, *([] if splits.pooled is None else [splits.pooled])]:
                groups: dict[str, object] = {}
                for kind, share in scores.groups.items():
                    groups |= interval_columns(f"all_right_per_{kind}", share)
                rows.append({"labels": labels, **columns(scores), **groups})
        return frame(rows)


def evaluate(
    questions: FileName | Sequence[FileName],
    answers: FileName | Sequence[FileName] | None = None,
    *,
    baseline: FileName | Sequence[FileName] | None = None,
    corrected: FileName | Sequence[FileName] | None = None,
    pair_by: str = "id",
    unanswered: str = "error",
    answer_key: str | None = None,
    label_key: str | None = None,
    parser: str = "official",
    undecided: str = "wrong",
    resamples: int = 1000,
    seed: int = 0,
    run: ModelRun | None = None,
) -> PopeResult:
    """Yes/no answers, of POPE and of any set like it: how many are right, and does the model say yes too often?

    Args:
        questions: a file of questions, or one for each split.
        answers: as many files of answers, in the same order; None: they stand in the rows of the questions.
        baseline: as many files of answers of another system, to compare with.
        corrected: as many files of the same questions with corrected labels, such as RePOPE's (Neuhaus & Hein, 2025,
            "RePOPE: Impact of Annotation Errors on the POPE Benchmark"); questions that they lack are left out there.
        pair_by: how answers find their questions: "id" or "order".
        unanswered: what questions without an answer are: "error", or "skip" to leave them out.
        answer_key, label_key: keys of a row, where they are not the usual ones.
        parser: how an answer is read: "official", "words", "exact", "first-token", "logprob" (`evaluation.yesno`).
        undecided: what an answer that is neither counts as: "yes", "no", "wrong" or "error".
        resamples, seed: of the bootstrap over images.
        run: the model that writes `answers` first, once all that is wrong with the other files was found.

    Raises:
        InputError: a file that cannot be read, answers to other questions, or values that cannot be.
    """
    question_files, answer_files = _several(questions), None if answers is None else _several(answers)
    baseline_files, corrected_files = _several(baseline or ()), _several(corrected or ())
    if not question_files:
        raise InputError("There are no questions; give a file of them.")
    if unanswered not in UNANSWERED:
        raise InputError(f"--unanswered cannot be {unanswered!r}; choose error or skip.")
    for flag, files in (("--answers", answer_files), ("--compare", baseline_files), ("--corrected", corrected_files)):
        if files and len(files) != len(question_files):
            raise InputError(
                f"{len(question_files)} --questions need as many {flag}, in the same order; give them all."
            )
    if run is not None and (answer_key or pair_by != "id"):
        raise InputError("--answer-key and --pair-by are for --answers; leave them out.")
    if parser not in PARSERS:
        raise InputError(f"There is no parser {parser!r}; choose one of {', '.join(PARSERS)}.")
    if undecided not in UNDECIDED:
        raise InputError(f"An undecided reply cannot count as {undecided!r}; choose one of {', '.join(UNDECIDED)}.")
    draws = {"resamples": resamples, "seed": seed}
    check_draws(**draws)
    asked = [read_questions(path, label_key=label_key) for path in question_files]
    relabelled = [read_questions(path, label_key=label_key) for path in corrected_files]
    for given, path, by_others in zip(asked, corrected_files, relabelled, strict=False):
        _check_same_questions(given, by_others, path)
    if run is not None and answer_files is not None:
        prompts = [of_questions(run.images, split) for split in asked]
        run.write({os.fspath(path): split for path, split in zip(answer_files, prompts, strict=True)})

    def judged(paths: Sequence[FileName] | None) -> list[list[JudgedAnswer]]:
        read = read_replies if paths else read_own_replies
        splits = []
        for path, split, of_split in zip(paths or question_files, asked, question_files, strict=True):
            pairs = pair(split, read(path, answer_key=answer_key), pair_by, skip_unanswered=unanswered == "skip")
            if not pairs:
                raise InputError(f"{path} answers none of the questions of {of_split}; give other answers.")
            splits.append(judge(pairs, parser=parser, undecided=undecided))
        return splits

    splits = judged(answer_files)
    names = [Path(path).name for path in question_files]
    of_given = Splits(**_numbers(splits, names, draws))
    warnings = [
        f"{len(every) - len(answered)} of {len(every)} questions of {name} have no reply and are left out."
        for every, answered, name in zip(asked, splits, names, strict=True)
        if len(answered) < len(every)
    ]
    compared, by_corrected = None, None
    if baseline_files:
        compared = difference(_pooled(splits), _pooled(judged(baseline_files)), **draws)
    if corrected_files:
        by_corrected, told = _by_corrected(
            splits, relabelled, names, [Path(path).name for path in corrected_files], draws
        )
        warnings += told
    settings = {
        "questions": question_files,
        "answers": answer_files,
        **({} if run is None else run.settings),
        "baseline": baseline_files or None,
        **({"corrected": corrected_files} if corrected_files else {}),
        "pair_by": pair_by,
        "unanswered": unanswered,
        "parser": parser,
        "undecided": undecided,
        "bootstrap": resamples,
        "seed": seed,
    }
    return PopeResult(
        settings, warnings + _undecided(of_given.sets, parser, undecided), of_given, by_corrected, compared
    )


def _several(files: FileName | Sequence[FileName]) -> list[FileName]:
    if isinstance(files, (str, os.PathLike)):
        return [files]
    if not isinstance(files, Sequence):
        raise InputError(f"Files cannot be {files!r:.40}; give their paths.")
    return list(files)


def _pooled(splits: Sequence[Sequence[JudgedAnswer]]) -> list[JudgedAnswer]:
    return [answer for split in splits for answer in split]


def _numbers(splits: Sequence[Sequence[JudgedAnswer]], names: Sequence[str], draws: dict[str, int]) -> dict:
    """The fields of `Splits`."""
    sets = [score(split, name, **draws) for split, name in zip(splits, names, strict=True)]
    if len(splits) == 1:
        return {"sets": sets}
    pooled = _pooled(splits)
    return {
        "sets": sets,
        "pooled": score(pooled, "pooled", **draws),
        "mean_f1": mean_f1(splits, **draws),
        "distinct": distinct_accuracy(pooled, **draws),
    }


def _check_same_questions(given: Sequence[Question], corrected: Sequence[Question], path: FileName) -> None:
    """Corrected labels are of questions that are asked, told by their id and held against image and text."""
    by_key = {question.key: question for question in given}
    for question in corrected:
        known = by_key.get(question.key)
        if known is None:
            raise InputError(
                f"{question.where} corrects question {question.key!r}, which is not asked; give those of its set."
            )
        if (known.image, known.text) != (question.image, question.text):
            raise InputError(
                f"{question.where} is another question than {known.where}, though both have the id {question.key!r}; "
                f"check that {path} corrects these questions."
            )


def _by_corrected(
    splits: Sequence[Sequence[JudgedAnswer]],
    relabelled: Sequence[Sequence[Question]],
    names: Sequence[str],
    names_of_corrected: Sequence[str],
    draws: dict[str, int],
) -> tuple[CorrectedSplits, list[str]]:
    """The numbers by corrected labels, and what was left out for them."""
    kept, dropped, changed, told = [], [], [], []
    for split, questions, name, by in zip(splits, relabelled, names, names_of_corrected, strict=True):
        label_of = {question.key: question.label for question in questions}
        left = [answer for answer in split if answer.question.key in label_of]
        if not left:
            raise InputError(f"{by} has no label for any answered question of {name}; give the labels of its set.")
        kept.append(
            [replace(answer, question=replace(answer.question, label=label_of[answer.question.key])) for answer in left]
        )
        dropped.append(len(split) - len(left))
        changed.append(sum(answer.question.label != label_of[answer.question.key] for answer in left))
        told.append(
            f"{dropped[-1]} of {len(split)} questions of {name} are not in {by} and are left out of its numbers; "
            f"{changed[-1]} of the others have another label there."
        )
    numbers = _numbers(kept, names_of_corrected, draws)
    return CorrectedSplits(**numbers, dropped=tuple(dropped), changed=tuple(changed)), told


def _undecided(sets: Sequence[YesNoScores], parser: str, undecided: str) -> list[str]:
    doing = (
        'lack the word "yes" and count as yes' if parser == "official" else f"are undecided and count as {undecided}"
    )
    return [
        f"{scores.undecided} of {scores.questions} replies to {scores.name} {doing} (parser {parser})."
        for scores in sets
        if scores.undecided
    ]

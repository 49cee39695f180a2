"""POPE's numbers, and those of any set of yes/no questions.

Li et al., 2023, "Evaluating Object Hallucination in Large Vision-Language Models", section 4.1, with yes as positive:

    accuracy  = (TP + TN) / questions        precision = TP / (TP + FP)        recall = TP / (TP + FN)
    F1        = 2 TP / (2 TP + FP + FN)      yes-ratio = (TP + FP) / questions

All are in percent; where there is nothing to divide by they are None. A reply that is neither yes nor no counts as the
caller says: as yes, as no, or as wrong, which is in no cell of the table, so that it lowers accuracy and leaves
precision and recall alone (as lmms-eval has it).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb

import numpy as np

from causal_attrib.errors import InputError
from causal_attrib.evaluation.intervals import Bounded, Estimate, Metric, by_cluster, estimate, ratio, share
from causal_attrib.evaluation.pope.questions import Question
from causal_attrib.evaluation.yesno import Reply, parse, says_yes

UNDECIDED = ("yes", "no", "wrong", "error")

# Counts of a question: 1, TP, FP, TN, FN.
_CELLS = 5


@dataclass(frozen=True)
class JudgedAnswer:
    """A question and what the reply came to; None counts as wrong. `default` marks a yes or no that the reply lacks."""

    question: Question
    said: bool | None
    default: bool = False

    @property
    def right(self) -> bool:
        return self.said == self.question.label


@dataclass(frozen=True)
class YesNoScores:
    """The numbers of one set of questions.

    undecided: replies that say neither yes nor no; under the official parser, those that it calls yes by default
    groups:    for each kind of group, the share in percent of groups all of whose questions are right
    """

    name: str
    questions: int
    images: int
    tp: int
    fp: int
    tn: int
    fn: int
    undecided: int
    accuracy: Estimate
    precision: Estimate
    recall: Estimate
    f1: Estimate
    yes_ratio: Estimate
    groups: dict[str, Estimate]


@dataclass(frozen=True)
class YesNoDifference:
    """One system less another on the same questions, in percentage points.

    only_first, only_second: questions that only this one got right
    p_value:                 exact two-sided McNemar test (McNemar, 1947): a fair coin over those questions
    """

    accuracy: Estimate
    f1: Estimate
    only_first: int
    only_second: int
    p_value: float


def judge(
    pairs: Sequence[tuple[Question, Reply]], *, parser: str = "official", undecided: str = "wrong"
) -> list[JudgedAnswer]:
    """Read each reply. `undecided` is what a reply counts as that the parser cannot tell: yes, no, wrong or error."""
    if undecided not in UNDECIDED:
        raise InputError(f"An undecided reply cannot count as {undecided!r}; choose one of {', '.join(UNDECIDED)}.")
    judged = []
    for question, reply in pairs:
        said = parse(reply, parser)
        default = said is None or (parser == "official" and said and not says_yes(reply.text or ""))
        if said is None and undecided == "error":
            raise InputError(
                f"{reply.where} says neither yes nor no to the parser {parser}: {reply.text!r}; "
                "say with --undecided what that counts as."
            )
        if said is None and undecided != "wrong":
            said = undecided == "yes"
        judged.append(JudgedAnswer(question, said, default))
    return judged


def score(judged: Sequence[JudgedAnswer], name: str = "", *, resamples: int = 1000, seed: int = 0) -> YesNoScores:
    """The numbers of one set, with intervals over images."""
    counts_NK = np.array([_counts(answer) for answer in judged], float)
    kinds = _group_counts(judged)
    clusters = [answer.question.image for answer in judged]
    rows_MK = np.zeros((len(judged) + sum(map(len, kinds.values())), _CELLS + 2 * len(kinds)))
    rows_MK[: len(judged), :_CELLS] = counts_NK
    metrics, row = dict(_METRICS), len(judged)
    for kind, (name_of_kind, groups) in enumerate(kinds.items()):
        column = _CELLS + 2 * kind
        for image, all_right in groups:
            rows_MK[row, column : column + 2] = 1, all_right
            clusters.append(image)
            row += 1
        metrics[f"all right per {name_of_kind}"] = share(column + 1, column)
    estimates = estimate(by_cluster(clusters, rows_MK), metrics, resamples=resamples, seed=seed)
    _, tp, fp, tn, fn = (int(count) for count in counts_NK.sum(0))
    return YesNoScores(
        name=name,
        questions=len(judged),
        images=len({answer.question.image for answer in judged}),
        tp=tp,
        fp=fp,
        tn=tn,
        fn=fn,
        undecided=sum(answer.default for answer in judged),
        **{metric: estimates[metric] for metric in _METRICS},
        groups={kind: estimates[f"all right per {kind}"] for kind in kinds},
    )


def mean_f1(splits: Sequence[Sequence[JudgedAnswer]], *, resamples: int = 1000, seed: int = 0) -> Estimate:
    """The mean of the F1 of each split, as LLaVA reports POPE (Liu et al., 2023, haotian-liu/LLaVA issue 626)."""
    sums_CK = _side_by_side(splits)

    def mean(sums: np.ndarray) -> np.ndarray:
        return np.sum([_f1(sums, split * _CELLS) for split in range(len(splits))], axis=0) / len(splits)

    return estimate(sums_CK, {"f1": Bounded(mean)}, resamples=resamples, seed=seed)["f1"]


def distinct_accuracy(judged: Sequence[JudgedAnswer], *, resamples: int = 1000, seed: int = 0) -> tuple[int, Estimate]:
    """How many (image, question) pairs there are, and accuracy with each counted once.

    POPE's splits share their positives, so pooled rows count those three times. A pair that was answered more than once
    counts as the mean of its answers.
    """
    answers: dict[tuple[str, str], list[bool]] = {}
    for answer in judged:
        answers.setdefault((answer.question.image, answer.question.text), []).append(answer.right)
    counts_NK = np.array([[1.0, sum(right) / len(right)] for right in answers.values()])
    sums_CK = by_cluster([image for image, _ in answers], counts_NK)
    return len(answers), estimate(sums_CK, {"accuracy": share(1, 0)}, resamples=resamples, seed=seed)["accuracy"]


def difference(
    first: Sequence[JudgedAnswer], second: Sequence[JudgedAnswer], *, resamples: int = 1000, seed: int = 0
) -> YesNoDifference:
    """The first less the second; the same images are drawn for both."""
    if [answer.question for answer in first] != [answer.question for answer in second]:
        raise InputError("Two systems can be compared on the same questions only; give answers to the same ones.")
    metrics: dict[str, Metric] = {
        "accuracy": Bounded(lambda sums: _accuracy(sums) - _accuracy(sums, _CELLS), least=-100.0),
        "f1": Bounded(lambda sums: _f1(sums) - _f1(sums, _CELLS), least=-100.0),
    }
    estimates = estimate(_side_by_side([first, second]), metrics, resamples=resamples, seed=seed)
    only_first = sum(ours.right and not theirs.right for ours, theirs in zip(first, second, strict=True))
    only_second = sum(theirs.right and not ours.right for ours, theirs in zip(first, second, strict=True))
    return YesNoDifference(
        **estimates, only_first=only_first, only_second=only_second, p_value=mcnemar(only_first, only_second)
    )


def mcnemar(only_first: int, only_second: int) -> float:
    """Two-sided exact p-value of the two counts of questions that only one system got right.

    >>> mcnemar(1, 5), mcnemar(3, 3)
    (0.21875, 1.0)
    """
    both = only_first + only_second
    tail = sum(comb(both, count) for count in range(min(only_first, only_second) + 1))
    return min(1.0, 2 * tail / 2**both)


def _counts(answer: JudgedAnswer) -> tuple[int, ...]:
    yes, label = answer.said is True, answer.question.label
    no = answer.said is False
    return 1, yes and label, yes and not label, no and not label, no and label


def _group_counts(judged: Sequence[JudgedAnswer]) -> dict[str, list[tuple[str, bool]]]:
    """Per kind of group, the image of each group and whether all its questions are right.

    Images are groups only where all of them have two questions, which is MME's accuracy+ (Fu et al., 2023).
    """
    kinds: dict[str, dict[str, list[JudgedAnswer]]] = {}
    for answer in judged:
        for kind, group in answer.question.groups:
            kinds.setdefault(kind, {}).setdefault(group, []).append(answer)
    return {
        kind: [(answers[0].question.image, all(answer.right for answer in answers)) for answers in groups.values()]
        for kind, groups in kinds.items()
        if kind != "image" or all(len(answers) == 2 for answers in groups.values())
    }


def _side_by_side(sets: Sequence[Sequence[JudgedAnswer]]) -> np.ndarray:
    """Counts of several sets per image, [C, sets * 5]: an image that is drawn is drawn in all of them."""
    rows_NK = np.zeros((sum(map(len, sets)), _CELLS * len(sets)))
    clusters: list[str] = []
    for number, judged in enumerate(sets):
        for answer in judged:
            rows_NK[len(clusters), number * _CELLS : (number + 1) * _CELLS] = _counts(answer)
            clusters.append(answer.question.image)
    return by_cluster(clusters, rows_NK)


def _accuracy(sums: np.ndarray, at: int = 0) -> np.ndarray:
    return ratio(sums[..., at + 1] + sums[..., at + 3], sums[..., at])


def _f1(sums: np.ndarray, at: int = 0) -> np.ndarray:
    return ratio(2 * sums[..., at + 1], 2 * sums[..., at + 1] + sums[..., at + 2] + sums[..., at + 4])


_METRICS: dict[str, Metric] = {
    "accuracy": Bounded(_accuracy),
    "precision": Bounded(lambda sums: ratio(sums[..., 1], sums[..., 1] + sums[..., 2])),
    "recall": Bounded(lambda sums: ratio(sums[..., 1], sums[..., 1] + sums[..., 4])),
    "f1": Bounded(_f1),
    "yes_ratio": Bounded(lambda sums: ratio(sums[..., 1] + sums[..., 2], sums[..., 0])),
}

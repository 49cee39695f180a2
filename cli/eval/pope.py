"""`copo eval pope`: yes/no questions, of POPE and of any set like it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from causal_attrib_cli import common
from causal_attrib_cli.eval import common as eval_common
from causal_attrib_cli.eval import model_run

if TYPE_CHECKING:
    from rich.console import RenderableType

    from causal_attrib.evaluation.pope import PopeResult
    from causal_attrib.evaluation.pope.benchmark import Splits
    from causal_attrib.evaluation.pope.scores import YesNoDifference, YesNoScores

_FILES = "Questions and answers"
_READING = "How answers are read"
_METRICS = ("accuracy", "precision", "recall", "f1", "yes_ratio")


@common.reads_pictures
@model_run.runs_model
def pope(
    questions: Annotated[
        list[str],
        typer.Option("--questions", metavar="FILE", help="Questions; once per split.", rich_help_panel=_FILES),
    ],
    answers: Annotated[
        list[str] | None,
        typer.Option(
            "--answers",
            metavar="FILE",
            help="Answers; once per split, in the same order.",
            show_default="in the rows of the questions",
            rich_help_panel=_FILES,
        ),
    ] = None,
    compare: Annotated[
        list[str] | None,
        typer.Option(
            "--compare",
            metavar="FILE",
            help="Answers of another system, to compare with; once per split.",
            rich_help_panel=_FILES,
        ),
    ] = None,
    corrected: Annotated[
        list[str] | None,
        typer.Option(
            "--corrected",
            metavar="FILE",
            help="The questions with corrected labels, such as RePOPE's: numbers by these too; once per split.",
            rich_help_panel=_FILES,
        ),
    ] = None,
    pair_by: Annotated[
        str,
        typer.Option(
            "--pair-by", metavar="NAME", help="How answers find questions: id, order.", rich_help_panel=_FILES
        ),
    ] = "id",
    unanswered: Annotated[
        str,
        typer.Option(
            "--unanswered",
            metavar="NAME",
            help="What questions without reply are: error, skip.",
            rich_help_panel=_FILES,
        ),
    ] = "error",
    answer_key: Annotated[
        str | None,
        typer.Option(
            "--answer-key",
            metavar="KEY",
            help="Key of the answer in a row.",
            show_default="answer, text, response, prediction, ...",
            rich_help_panel=_FILES,
        ),
    ] = None,
    label_key: Annotated[
        str | None,
        typer.Option(
            "--label-key",
            metavar="KEY",
            help="Key of the truth in a row.",
            show_default="label, gt_answer, truth, ...",
            rich_help_panel=_FILES,
        ),
    ] = None,
    parser: Annotated[
        str,
        typer.Option(
            "--parser", metavar="NAME", help="official, words, exact, first-token, logprob.", rich_help_panel=_READING
        ),
    ] = "official",
    undecided: Annotated[
        str,
        typer.Option(
            "--undecided",
            metavar="NAME",
            help="What a reply that is neither counts as: yes, no, wrong, error.",
            rich_help_panel=_READING,
        ),
    ] = "wrong",
    bootstrap: eval_common.Bootstrap = 1000,
    seed: common.Seed = 0,
    json: eval_common.Json = False,
    out: eval_common.Out = None,
    debug: common.Debug = False,
    quiet: common.Quiet = False,
    *,
    running: model_run.Running,
) -> None:
    """POPE: does the model say yes to objects that are not there? Any yes/no questions will do.

    The answers stand in files, or --model gives them about the pictures of --images.
    """
    with common.told_plainly(debug=debug, quiet=quiet):
        from causal_attrib.evaluation.pope import evaluate

        read_from = [*questions, *(answers or []), *(compare or []), *(corrected or [])]
        eval_common.check_output(out)
        common.check_outputs([out, running.save], read_from)
        running.check("--answers", answers, needed=False)
        run = running.to_write("answer", debug=debug, quiet=quiet)
        result = evaluate(
            questions,
            answers if run is None or running.save is None else saved(running.save, questions),
            baseline=compare,
            corrected=corrected,
            pair_by=pair_by,
            unanswered=unanswered,
            answer_key=answer_key,
            label_key=label_key,
            parser=parser,
            undecided=undecided,
            resamples=bootstrap,
            seed=seed,
            run=run,
        )
        eval_common.report(result, _view(result, parser), json=json, out=out, quiet=quiet)


def saved(save: str, questions: list[str]) -> list[str]:
    """Where the answers to each file of questions go: to `save`, or beside it with the name of each.

    >>> saved("said.jsonl", ["pope.json"]), saved("said.jsonl", ["a/random.json", "a/popular.json"])
    (['said.jsonl'], ['said.random.jsonl', 'said.popular.jsonl'])
    """
    from pathlib import Path

    from causal_attrib.errors import InputError

    if len(questions) == 1:
        return [save]
    path = Path(save)
    names = [str(path.with_suffix(f".{Path(file).name.partition('.')[0]}{path.suffix}")) for file in questions]
    if len(set(names)) < len(names):
        raise InputError("Two --questions have the same file name, so their answers would too; rename one.")
    return names


def _view(result: PopeResult, parser: str) -> list[RenderableType]:
    labelled = [splits for splits in (result.splits, result.corrected) if splits is not None]
    columns: list[YesNoScores] = []
    for splits in labelled:
        columns += [*splits.sets, *([] if splits.pooled is None else [splits.pooled])]
    headings = [scores.name for scores in columns]
    if result.corrected is not None and result.corrected.pooled is not None:
        headings[-1] = "pooled, corrected"
    rows: list[tuple[object, ...]] = [
        ("questions", *(scores.questions for scores in columns)),
        ("images", *(scores.images for scores in columns)),
    ]
    for count in ("tp", "fp", "tn", "fn", "undecided"):
        label = count if count == "undecided" else count.upper()
        rows.append((label, *(getattr(scores, count) for scores in columns)))
    for metric in _METRICS:
        label = {"f1": "F1", "yes_ratio": "yes-ratio"}.get(metric, metric)
        rows.append((label, *(eval_common.shown(getattr(scores, metric)) for scores in columns)))
    for kind in dict.fromkeys(kind for scores in columns for kind in scores.groups):
        cells = (eval_common.shown(scores.groups[kind]) if kind in scores.groups else "-" for scores in columns)
        rows.append((f"all right per {kind}", *cells))
    view: list[RenderableType] = [
        eval_common.table(f"POPE  parser={parser}", ("", *headings), rows),
        eval_common.LEGEND,
    ]
    for splits, by in zip(labelled, ("", ", by the corrected labels"), strict=False):
        view += _over_splits(splits, by)
    if result.difference is not None:
        view.append(_compared(result.difference))
    return view


def _over_splits(splits: Splits, by: str) -> list[str]:
    """What several splits come to together; `by` says by which labels."""
    if splits.mean_f1 is None or splits.distinct is None:
        return []
    questions, accuracy = splits.distinct
    return [
        f"Mean F1 of {len(splits.sets)} splits (LLaVA's number){by}: {eval_common.shown(splits.mean_f1)}",
        f"Accuracy over {questions} distinct questions{by}: {eval_common.shown(accuracy)}",
    ]


def _compared(difference: YesNoDifference) -> str:
    return (
        f"Difference to --compare, in points: accuracy {eval_common.shown(difference.accuracy)}, "
        f"F1 {eval_common.shown(difference.f1)}; right here only {difference.only_first}, there only "
        f"{difference.only_second}, exact McNemar p = {difference.p_value:.3g}"
    )

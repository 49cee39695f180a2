"""`copo eval pope`: yes/no questions, of POPE and of any set like it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from causal_attrib_cli import common
from causal_attrib_cli.eval import common as eval_common
from causal_attrib_cli.eval import model_run

if TYPE_CHECKING:
    from causal_attrib.evaluation.pope.scores import JudgedAnswer, YesNoDifference, YesNoScores

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
    baseline: Annotated[
        list[str] | None,
        typer.Option(
            "--baseline", metavar="FILE", help="Answers of another system, to compare with.", rich_help_panel=_FILES
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
        from pathlib import Path

        from causal_attrib.errors import InputError
        from causal_attrib.evaluation import prompts as asks
        from causal_attrib.evaluation.pope import questions as files
        from causal_attrib.evaluation.pope import scores as benchmark

        common.check_outputs([out, running.save], [*questions, *(answers or []), *(baseline or [])])
        if unanswered not in ("error", "skip"):
            raise InputError(f"--unanswered cannot be {unanswered!r}; choose error or skip.")
        for flag, given in (("--answers", answers), ("--baseline", baseline)):
            if given and len(given) != len(questions):
                raise InputError(f"{len(questions)} --questions need as many {flag}, in the same order; give them all.")

        speaks = running.wanted("--answers", answers, needed=False)
        if speaks and (answer_key or pair_by != "id"):
            raise InputError("--answer-key and --pair-by are for --answers; leave them out.")
        asked = [files.read_questions(path, label_key=label_key) for path in questions]
        if speaks:
            answers = saved(running.save, questions)
            about = {path: asks.questions(running.images, one) for path, one in zip(answers, asked, strict=True)}
            running.write(about, "answer", debug=debug, quiet=quiet)

        def judged(paths: list[str] | None) -> list[list[JudgedAnswer]]:
            sets = []
            for place, path in enumerate(paths or questions):
                read = files.read_replies if paths else files.read_own_replies
                replies = read(path, answer_key=answer_key)
                pairs = files.pair(asked[place], replies, pair_by, skip_unanswered=unanswered == "skip")
                if not pairs:
                    raise InputError(f"{path} answers none of the questions of {questions[place]}; give other answers.")
                sets.append(benchmark.judge(pairs, parser=parser, undecided=undecided))
            return sets

        draw = {"resamples": bootstrap, "seed": seed}
        sets = judged(answers)
        pooled = [one for judged_set in sets for one in judged_set]
        names = [Path(path).name for path in questions]
        scores = [benchmark.score(ones, name, **draw) for ones, name in zip(sets, names, strict=True)]
        results: dict[str, object] = {"sets": scores}
        if len(sets) > 1:
            distinct, accuracy = benchmark.distinct_accuracy(pooled, **draw)
            results |= {
                "pooled": benchmark.score(pooled, "pooled", **draw),
                "mean_f1": benchmark.mean_f1(sets, **draw),
                "distinct": {"questions": distinct, "accuracy": accuracy},
            }
        if baseline:
            other = [one for judged_set in judged(baseline) for one in judged_set]
            results["difference"] = benchmark.difference(pooled, other, **draw)

        settings = {
            "questions": questions,
            "answers": answers,
            **running.settings,
            "baseline": baseline,
            "pair_by": pair_by,
            "unanswered": unanswered,
            "parser": parser,
            "undecided": undecided,
            "bootstrap": bootstrap,
            "seed": seed,
        }
        notes = [
            f"{len(every) - len(ones)} of {len(every)} questions of {name} have no reply and are left out."
            for every, ones, name in zip(asked, sets, names, strict=True)
            if len(ones) < len(every)
        ]
        notes += _notes(scores, parser, undecided)
        view = _view(results, settings)
        eval_common.report("pope", settings, results, view, notes, json=json, out=out, quiet=quiet)


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
    names = [str(path.with_suffix(f".{Path(one).name.partition('.')[0]}{path.suffix}")) for one in questions]
    if len(set(names)) < len(names):
        raise InputError("Two --questions have the same file name, so their answers would too; rename one.")
    return names


def _notes(scores: list[YesNoScores], parser: str, undecided: str) -> list[str]:
    doing = (
        'lack the word "yes" and count as yes' if parser == "official" else f"are undecided and count as {undecided}"
    )
    return [
        f"{one.undecided} of {one.questions} replies to {one.name} {doing} (parser {parser})."
        for one in scores
        if one.undecided
    ]


def _view(results: dict, settings: dict) -> list:
    columns: list[YesNoScores] = [*results["sets"], *([results["pooled"]] if "pooled" in results else [])]
    rows: list[tuple] = [
        ("questions", *(one.questions for one in columns)),
        ("images", *(one.images for one in columns)),
    ]
    for count in ("tp", "fp", "tn", "fn", "undecided"):
        rows.append((count if count == "undecided" else count.upper(), *(getattr(one, count) for one in columns)))
    for metric in _METRICS:
        label = {"f1": "F1", "yes_ratio": "yes-ratio"}.get(metric, metric)
        rows.append((label, *(eval_common.shown(getattr(one, metric)) for one in columns)))
    for kind in dict.fromkeys(kind for one in columns for kind in one.groups):
        cells = (eval_common.shown(one.groups[kind]) if kind in one.groups else "-" for one in columns)
        rows.append((f"all right per {kind}", *cells))
    view: list = [
        eval_common.table(f"POPE  parser={settings['parser']}", ("", *(one.name for one in columns)), rows),
        eval_common.LEGEND,
    ]
    if "mean_f1" in results:
        view.append(
            f"Mean F1 of {len(results['sets'])} splits (LLaVA's number): {eval_common.shown(results['mean_f1'])}"
        )
        distinct = results["distinct"]
        view.append(
            f"Accuracy over {distinct['questions']} distinct questions: {eval_common.shown(distinct['accuracy'])}"
        )
    if "difference" in results:
        view.append(_compared(results["difference"]))
    return view


def _compared(difference: YesNoDifference) -> str:
    return (
        f"Difference to the baseline, in points: accuracy {eval_common.shown(difference.accuracy)}, "
        f"F1 {eval_common.shown(difference.f1)}; right here only {difference.only_first}, there only "
        f"{difference.only_second}, exact McNemar p = {difference.p_value:.3g}"
    )

"""A caption on its way to an `Attribution`: its plan, what is run for it, and how that is read.

Several captions are run together, so that they share forwards where the engine can.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch import Tensor

from causal_attrib.engine import Cost, Engine, Job
from causal_attrib.engine.base import Request
from causal_attrib.interventions import Intervention
from causal_attrib.io.pictures import ImageLike
from causal_attrib.outcomes import Grounding, Objects, Outcome, check_contrast, choose_outcome
from causal_attrib.results.attribution import Attribution, Token
from causal_attrib.scores import necessity, sufficiency
from causal_attrib.scores.coherence_channels.channels import coherence_of
from causal_attrib.scores.completeness import causal_completeness
from causal_attrib.scores.entropy import logprob_and_entropy
from causal_attrib.scores.inputs import Caption
from causal_attrib.scores.known_pictures import knows
from causal_attrib.scores.settings import Settings, check_outcome, check_words
from causal_attrib.scores.signals.taken import Taken, signals_of
from causal_attrib.scores.verdict import Calibration, judged
from causal_attrib.version import __version__
from causal_attrib.vlm import VLM, Continuation, Encoding
from causal_attrib.vlm.threads import on_suited_threads

# Called once before a run, with its interventions, its token positions at most, and about how many seconds it takes.
Announce = Callable[[int, int, float], None]


# Outcomes that are a probability, whose effects are nats as they are (`results.effects`).
_PROBABILITIES = ("likelihood", "yesno")


@dataclass
class CaptionTask:
    """One caption and what is to be run for it.

    units:     tokens that are hidden and kept together
    plan_s, plan_n: edits for sufficiency and for necessity
    samples:   H completions per prefix, 0 for none
    rewrites:  whether the caption is written anew behind a hidden unit
    generated: whether the model wrote the caption
    coherent:  the result of `coherence`, if it was asked for
    calibration: of the verdicts, if they are asked for
    known:     the picture is of the kind that the model knows
    seconds:   that this took
    """

    vlm: VLM
    settings: Settings
    encoding: Encoding
    objects: list[str] | None
    judge: Outcome
    units: Sequence[tuple[int, ...]]
    plan_s: tuple[Intervention, ...]
    plan_n: tuple[Intervention, ...]
    samples: int
    rewrites: bool
    generated: bool
    coherent: dict[str, Any] | None
    calibration: Calibration | None
    known: bool
    seconds: float

    @property
    def interventions(self) -> int:
        return len(self.plan_s) + len(self.plan_n)

    def job(self, plan: tuple[Intervention, ...]) -> Job:
        return Job(self.encoding, plan, self.judge)


@on_suited_threads
def make_task(
    vlm: VLM,
    settings: Settings,
    image: ImageLike,
    caption: Caption,
    *,
    prompt: str | None = None,
    question: str | None = None,
    answer: str | None = None,
    objects: list[str] | None = None,
    calibration: Calibration | None = None,
    known: bool | None = None,
) -> CaptionTask:
    """Arguments as in `causal_attrib.score`; a `calibration` where the settings ask for verdicts.

    Args:
        known: what `knows` says of the picture, if it was asked before.

    Raises:
        InputError: what is wrong with this picture, these texts, or the settings for them.
    """
    began = time.perf_counter()
    generated = caption is None
    if generated:
        caption = vlm.describe(image, prompt)
    encoding = vlm.encode(image, prompt, caption, answer, question=question, against=settings.against)
    judge = choose_outcome(settings.outcome, encoding, objects, words=settings.outcome_words)
    check_contrast(judge.name, settings.against)
    check_words(judge.name, settings.outcome_words)
    if settings.verdict:
        check_outcome(judge.name, settings.mask)
    coherent = coherence_of(vlm, encoding, seed=settings.seed).to_dict() if settings.coherence else None
    units = encoding.units(settings.level)
    rewrites = judge.needs_text and not encoding.answers_a_question
    return CaptionTask(
        vlm=vlm,
        settings=settings,
        encoding=encoding,
        objects=objects,
        judge=judge,
        units=units,
        plan_s=sufficiency.plan(units),
        plan_n=necessity.plan(units, settings.mask, rewrites=rewrites),
        samples=settings.samples_for(judge),
        rewrites=rewrites,
        generated=generated,
        coherent=coherent,
        calibration=calibration,
        known=knows(vlm, encoding.picture.pixels) if known is None else known,
        seconds=time.perf_counter() - began,
    )


@on_suited_threads
def run_tasks(engine: Engine, tasks: Sequence[CaptionTask], announce: Announce | None = None) -> list[Attribution]:
    """The scored captions; `announce` is told of each group that is run together.

    The cost of each is that of its group, with the number of captions in it.
    """
    found: dict[int, Attribution] = {}
    for group in engine.together([task.encoding for task in tasks]):
        some = [tasks[index] for index in group]
        found.update(zip(group, _run_group(engine, some, announce), strict=True))
    return [found[index] for index in range(len(tasks))]


def _run_group(engine: Engine, tasks: Sequence[CaptionTask], announce: Announce | None) -> list[Attribution]:
    began, before = time.perf_counter(), replace(engine.cost)
    scans = _scans(engine, tasks)
    if announce is not None:
        per_position = (time.perf_counter() - began) / max(engine.cost.since(before).positions, 1)
        positions = sum(_forecast(engine, task) for task in tasks)
        announce(sum(task.interventions for task in tasks), positions, positions * per_position)
    settings = tasks[0].settings
    signals: list[Taken | None] = [None] * len(tasks)
    if settings.signals is not None:
        signals = [
            signals_of(task.vlm, task.encoding, settings.signals, scan.logits_TV, seed=settings.seed)
            for task, scan in zip(tasks, scans, strict=True)
        ]
    outcomes = outcomes_of(
        engine,
        [(task.job(task.plan_s), task.job(task.plan_n), task.samples) for task in tasks],
        seed=settings.seed,
        coupling=settings.coupling,
    )
    spent, seconds = engine.cost.since(before), time.perf_counter() - began
    for taken in signals:
        if taken is not None:
            spent.add(taken.positions, taken.forwards)
    return [
        _attribution(
            engine,
            task,
            scan,
            *outcome,
            signals=taken,
            spent=spent,
            captions=len(tasks),
            seconds=seconds + task.seconds,
        )
        for task, scan, outcome, taken in zip(tasks, scans, outcomes, signals, strict=True)
    ]


def outcomes_of(
    engine: Engine, plans: Sequence[tuple[Job, Job, int]], *, seed: int, coupling: str
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Outcomes of the sufficiency and of the necessity job of each caption.

    Args:
        plans: the two jobs, and H.
        seed, coupling: of sampled completions.

    Returns:
        Arrays (N, H), or (N, 1) for H = 0, and (M, 1).
    """
    found: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    as_it_is = [index for index, (_, _, samples) in enumerate(plans) if not samples]
    # One run, so that the whole response, which is in both plans, is put through the model once.
    both = [
        replace(keeps, interventions=keeps.interventions + masks.interventions)
        for keeps, masks, _ in (plans[index] for index in as_it_is)
    ]
    for index, outcome in zip(as_it_is, engine.run_jobs(both), strict=True):
        prefixes = len(plans[index][0].interventions)
        found[index] = outcome[:prefixes], outcome[prefixes:]
    for samples in sorted({samples for _, _, samples in plans if samples}):
        drawn = [index for index, plan in enumerate(plans) if plan[2] == samples]
        outcomes_s = engine.run_jobs(
            [plans[index][0] for index in drawn], samples=samples, seed=seed, coupling=coupling
        )
        outcomes_n = engine.run_jobs([plans[index][1] for index in drawn])
        found.update(zip(drawn, zip(outcomes_s, outcomes_n, strict=True), strict=True))
    return [found[index] for index in range(len(plans))]


@dataclass
class _Scan:
    """What the unedited caption tells: per token log-probability and entropy, for verdicts its log-probability behind
    the reference image, and for signals what predicts it."""

    logprob_T: np.ndarray
    entropy_T: np.ndarray
    prior_T: list[float] | None
    logits_TV: Tensor | None


def _scans(engine: Engine, tasks: Sequence[CaptionTask]) -> list[_Scan]:
    """Of all captions together: alone, each would take a forward of few tokens."""
    encodings = [task.encoding for task in tasks]
    logits: list[Tensor | None] = [None] * len(tasks)
    if any(task.settings.signals is not None for task in tasks):
        # Which read the logits themselves.
        logits = [engine.scan(encoding) for encoding in encodings]
        read = zip(logits, encodings, strict=True)
        scanned = [logprob_and_entropy(logits_TV, encoding.response_ids) for logits_TV, encoding in read]
    else:
        scanned = engine.scans(encodings, logprob_and_entropy)
    rows = [
        Request(
            task.encoding,
            Continuation(task.encoding.response_ids, reference=True),
            tuple(range(len(task.encoding.response_ids))),
        )
        for task in tasks
        if task.calibration is not None
    ]
    priors = iter(engine.logprobs(rows, lambda count: None) if rows else [])
    return [
        _Scan(*scan, next(priors).tolist() if task.calibration is not None else None, logits_TV)
        for task, scan, logits_TV in zip(tasks, scanned, logits, strict=True)
    ]


def _forecast(engine: Engine, task: CaptionTask) -> int:
    """Token positions that a task takes at most."""
    if not task.samples:
        return engine.forecast([task.job(task.plan_s + task.plan_n)])
    return engine.forecast([task.job(task.plan_s)], task.samples) + engine.forecast([task.job(task.plan_n)])


def _attribution(
    engine: Engine,
    task: CaptionTask,
    scan: _Scan,
    outcome_s: np.ndarray,
    outcome_n: np.ndarray,
    *,
    signals: Taken | None,
    spent: Cost,
    captions: int,
    seconds: float,
) -> Attribution:
    encoding, settings = task.encoding, task.settings
    sufficiency_U, error_U = sufficiency.read(task.units, outcome_s, settings.estimator)
    necessity_U = necessity.read(outcome_n[:, 0], rewrites=task.rewrites)
    attribution = Attribution(
        caption=encoding.response,
        tokens=_tokens(
            encoding,
            task.units,
            logprob=scan.logprob_T,
            entropy=scan.entropy_T,
            sufficiency=sufficiency_U,
            sufficiency_se=error_U,
            necessity=necessity_U,
            causal_completeness=causal_completeness(sufficiency_U, necessity_U, settings.lambda_s, settings.lambda_n),
        ),
        image=encoding.picture.record,
        prompt=encoding.prompt,
        question=encoding.question,
        answer=encoding.answer,
        model=task.vlm.record,
        outcome=_outcome_record(task, outcome_n),
        settings={
            "against": settings.against,
            "mask": settings.mask,
            "samples": task.samples,
            "seed": settings.seed,
            "coupling": settings.coupling,
            "estimator": settings.estimator,
            "level": settings.level,
            "lambda_s": settings.lambda_s,
            "lambda_n": settings.lambda_n,
            "engine": engine.name,
            "batch_size": settings.batch_size,
        },
        cost={
            "forwards": spent.forwards,
            "positions": spent.positions,
            "captions": captions,
            "seconds": round(seconds, 3),
        },
        tool={"name": "copo", "version": __version__},
        generated=task.generated,
        coherence=task.coherent,
        signals=None if signals is None else signals.record,
    )
    if signals is not None:
        tokens = [replace(token, signals=signals.of_token(token.index)) for token in attribution.tokens]
        attribution = replace(attribution, tokens=tokens)
    if scan.prior_T is None or task.calibration is None:
        return attribution
    return judged(attribution, scan.prior_T, task.calibration, known=task.known)


def _outcome_record(task: CaptionTask, outcome_n: np.ndarray) -> dict[str, Any]:
    record: dict[str, Any] = {"name": task.judge.name, "meaning": task.judge.meaning}
    if not task.rewrites:
        record["value"] = float(outcome_n[0, 0])
        if isinstance(task.judge, Grounding):
            # A mean over so many tokens.
            record["scale"] = task.judge.length(task.encoding)
        elif task.judge.name in _PROBABILITIES:
            record["scale"] = 1
    if isinstance(task.judge, Grounding) and task.judge.words != "all":
        record["words"] = task.judge.words
    if isinstance(task.judge, Objects):
        record["objects"] = sorted(task.judge.annotated)
    return record


def _tokens(
    encoding: Encoding,
    units: Sequence[tuple[int, ...]],
    *,
    logprob: np.ndarray,
    entropy: np.ndarray,
    **of_units: np.ndarray | None,
) -> list[Token]:
    """The tokens with their scores; those of a unit are borne by each of its tokens."""
    unit_of = {t: u for u, unit in enumerate(units) for t in unit}

    def of_token(t: int) -> dict[str, Any]:
        return {
            name: float(values[unit_of[t]]) if t in unit_of and values is not None else None
            for name, values in of_units.items()
        }

    return [
        Token(
            index=t,
            text=encoding.response[start:end],
            id=encoding.response_ids[t],
            word=encoding.words[t],
            char_start=start,
            char_end=end,
            logprob=float(logprob[t]),
            entropy=float(entropy[t]),
            **of_token(t),
        )
        for t, (start, end) in enumerate(encoding.spans)
    ]

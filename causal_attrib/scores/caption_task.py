"""A caption on its way to an `Attribution`: its plan, what is run for it, and how that is read.

Several captions are run together, so that they share forwards where the engine can.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch import Tensor

from causal_attrib.engine import Cost, Engine, Job
from causal_attrib.engine.base import SLACK, Request
from causal_attrib.interventions import Intervention
from causal_attrib.io.pictures import ImageLike
from causal_attrib.outcomes import Grounding, Objects, Outcome, check_contrast, choose_outcome
from causal_attrib.results.attribution import Attribution, Token
from causal_attrib.results.effects import effect_nats
from causal_attrib.scores import necessity, sufficiency
from causal_attrib.scores.coherence_channels.channels import coherence_of
from causal_attrib.scores.completeness import causal_completeness
from causal_attrib.scores.entropy import logprob_and_entropy
from causal_attrib.scores.inputs import Caption
from causal_attrib.scores.known_pictures import knows
from causal_attrib.scores.refinement import FORWARDS, NOTHING, NOTHING_NATS, ROUNDS, Refinement
from causal_attrib.scores.sequential import ALPHA
from causal_attrib.scores.settings import Settings, check_outcome, check_words
from causal_attrib.scores.signals.taken import Taken, signals_of
from causal_attrib.scores.verdict import Calibration, judged
from causal_attrib.version import __version__
from causal_attrib.vlm import VLM, Continuation, Encoding
from causal_attrib.vlm.threads import on_suited_threads

# Called once before a run, with its interventions, its token positions at most, and about how many seconds it takes.
Announce = Callable[[int, int, float], None]


# Completions that are drawn behind each prefix before it is asked whether they are enough.
FIRST_DRAWS = 8
# Outcomes that are a probability, whose effects are nats as they are (`results.effects`).
_PROBABILITIES = ("likelihood", "yesno")


@dataclass
class CaptionTask:
    """One caption and what is to be run for it.

    units:     tokens that are hidden and kept together; for the level auto, the words that it may come to
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
    samples: int
    rewrites: bool
    generated: bool
    coherent: dict[str, Any] | None
    calibration: Calibration | None
    known: bool
    seconds: float

    @property
    def interventions(self) -> int:
        """How many are run; for the level auto, at most."""
        units = self.settings.selection.most(len(self.units))
        return 2 * units + 2 if units < len(self.units) else len(self.plan_s) + len(self.plan_n)

    @property
    def needs_prior(self) -> bool:
        """Whether it takes log-probabilities behind the reference image."""
        return self.calibration is not None or self.settings.selection.needs_prior

    @property
    def estimator(self) -> str:
        return self.settings.estimator_for(self.judge)

    @property
    def coupling(self) -> str:
        return self.settings.coupling_for(self.judge)

    @property
    def plan_s(self) -> tuple[Intervention, ...]:
        """Edits for sufficiency."""
        return sufficiency.plan(self.units)

    @property
    def plan_n(self) -> tuple[Intervention, ...]:
        """Edits for necessity."""
        return necessity.plan(self.units, self.settings.mask, rewrites=self.rewrites)

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
    words = settings.outcome_words
    judge = choose_outcome(settings.outcome, encoding, objects, words=words, tokenizer=vlm.tokenizer)
    check_contrast(judge.name, settings.against)
    check_words(judge.name, words)
    if settings.verdict:
        check_outcome(judge.name, settings.mask)
    coherent = coherence_of(vlm, encoding, seed=settings.seed).to_dict() if settings.coherence else None
    units = encoding.units("word" if settings.level == "auto" else settings.level)
    if not settings.selection.needs_scan:
        units = settings.selection.choose(encoding, units)
    rewrites = judge.needs_text and not encoding.answers_a_question
    return CaptionTask(
        vlm=vlm,
        settings=settings,
        encoding=encoding,
        objects=objects,
        judge=judge,
        units=units,
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


def judge_alone(engine: Engine, task: CaptionTask) -> Attribution:
    """The verdicts of a caption without its scores, which are all 0: for calibrations that read none of them."""
    (scan,) = _scans(engine, [task])
    nothing_U = np.zeros(len(task.units))
    measured = _Measured(task.units, nothing_U, None, nothing_U, None, None, nothing_U)
    return _attribution(engine, task, scan, measured, None, signals=None, spent=Cost(), captions=1, seconds=0.0)


def _run_group(engine: Engine, tasks: Sequence[CaptionTask], announce: Announce | None) -> list[Attribution]:
    began, before = time.perf_counter(), replace(engine.cost)
    scans = _scans(engine, tasks)
    tasks = [_narrowed(task, scan) for task, scan in zip(tasks, scans, strict=True)]
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
    found: list[tuple[_Measured, dict[str, Any] | None]]
    if settings.level == "auto":
        found = [_refined(engine, task) for task in tasks]
    else:
        found = [(measured, None) for measured in _measure(engine, tasks)]
    spent, seconds = engine.cost.since(before), time.perf_counter() - began
    for taken in signals:
        if taken is not None:
            spent.add(taken.positions, taken.forwards)
    return [
        _attribution(
            engine,
            task,
            scan,
            measured,
            refinement,
            signals=taken,
            spent=spent,
            captions=len(tasks),
            seconds=seconds + task.seconds,
        )
        for task, scan, (measured, refinement), taken in zip(tasks, scans, found, signals, strict=True)
    ]


@dataclass
class _Measured:
    """Scores of units, the outcome of the whole response (None where both arms are written anew), and of sampled
    completions the bounds of sufficiency and how many were drawn."""

    units: Sequence[tuple[int, ...]]
    sufficiency_U: np.ndarray
    error_U: np.ndarray | None
    necessity_U: np.ndarray
    whole: float | None
    bounds: tuple[np.ndarray, np.ndarray] | None
    draws_U: np.ndarray

    def score(self, u: int) -> dict[str, float | None]:
        return {
            "sufficiency": float(self.sufficiency_U[u]),
            "sufficiency_se": None if self.error_U is None else float(self.error_U[u]),
            "necessity": float(self.necessity_U[u]),
        }

    def drawn(self, u: int) -> dict[str, float | None]:
        low, high = (None, None) if self.bounds is None else (float(bound_U[u]) for bound_U in self.bounds)
        return {"low": low, "high": high, "draws": float(self.draws_U[u])}

    def sampling(self, tokens: int) -> dict[str, Any] | None:
        """The entry `sampling` of the JSON schema: by token, None where it has no score."""
        if self.bounds is None:
            return None
        record: dict[str, Any] = {"confidence": 1 - ALPHA, "method": "betting"}
        for name, values in (("low", self.bounds[0]), ("high", self.bounds[1]), ("draws", self.draws_U)):
            record[name] = [None] * tokens
            for unit, value in zip(self.units, values.tolist(), strict=True):
                for t in unit:
                    record[name][t] = value
        return record


def _measure(engine: Engine, tasks: Sequence[CaptionTask]) -> list[_Measured]:
    settings = tasks[0].settings
    plans = [
        Plan(task.units, task.job(task.plan_s), task.job(task.plan_n), task.samples, task.coupling, task.estimator)
        for task in tasks
    ]
    outcomes = outcomes_of(engine, plans, seed=settings.seed, precision=settings.precision)
    measured = []
    for task, (outcome_s, outcome_n) in zip(tasks, outcomes, strict=True):
        sufficiency_U, error_U = sufficiency.read(task.units, outcome_s, task.estimator)
        necessity_U = necessity.read(outcome_n[:, 0], rewrites=task.rewrites)
        whole = None if task.rewrites else float(outcome_n[0, 0])
        bounds = sufficiency.interval(task.units, outcome_s, task.estimator) if task.samples > 1 else None
        draws_U = sufficiency.draws_of(task.units, outcome_s)
        measured.append(_Measured(task.units, sufficiency_U, error_U, necessity_U, whole, bounds, draws_U))
    return measured


def _narrowed(task: CaptionTask, scan: _Scan) -> CaptionTask:
    """With those of its units that are chosen by what the caption's reading tells."""
    selection = task.settings.selection
    if not selection.needs_scan:
        return task
    prior_T = None if scan.prior_T is None else np.array(scan.prior_T)
    units = selection.choose(
        task.encoding, task.units, entropy_T=scan.entropy_T, logprob_T=scan.logprob_T, prior_T=prior_T
    )
    return replace(task, units=units)


def _refined(engine: Engine, task: CaptionTask) -> tuple[_Measured, dict[str, Any]]:
    """Scores of the words that a refinement comes to, and what it says of all others."""
    encoding = task.encoding
    budget = FORWARDS * (encoding.prompt_length + encoding.spoken)
    refinement = Refinement(encoding.units("sentence"), task.units, functools.partial(_positions, task), budget)
    whole: float | None = None
    nats = "scale" in _outcome_record(task, 0.5)
    while parts := refinement.next_round(NOTHING_NATS if nats else NOTHING):
        (measured,) = _measure(engine, [replace(task, units=[part.tokens for part in parts])])
        whole = measured.whole
        for u, part in enumerate(parts):
            part.scores = measured.score(u)
            part.sampled = measured.drawn(u)
            part.worth = _worth(task, whole, part.scores)
    together = None
    if closed := refinement.closed:
        hidden = tuple(sorted(t for part in closed for t in part.tokens))
        plan = necessity.plan([hidden], task.settings.mask, rewrites=task.rewrites)
        outcome_n = engine.run(encoding, plan, task.judge)[:, 0]
        together = _worth(task, whole, {"necessity": float(necessity.read(outcome_n, rewrites=task.rewrites)[0])})
    words = refinement.words

    def column(name: str) -> np.ndarray:
        return np.array([(word.scores | word.sampled)[name] for word in words], dtype=float)

    found = _Measured(
        [word.tokens for word in words],
        column("sufficiency"),
        column("sufficiency_se") if task.samples > 1 else None,
        column("necessity"),
        whole,
        (column("low"), column("high")) if task.samples > 1 and task.estimator != "product" else None,
        column("draws").astype(int),
    )
    return found, refinement.record("nats" if nats else "outcome", together, encoding.spans)


def _worth(task: CaptionTask, whole: float | None, scores: dict[str, float | None]) -> float:
    """How much a part matters: its effect in nats, up or down, or the larger of its scores where there are no nats."""
    effect = effect_nats(_outcome_record(task, whole), scores["necessity"])
    if effect is not None:
        return abs(effect)
    return max(abs(scores["necessity"] or 0.0), scores.get("sufficiency") or 0.0)


def _positions(task: CaptionTask, unit: tuple[int, ...]) -> float:
    """Token positions that it takes to measure a unit behind what was read of the whole response."""
    encoding = task.encoding
    behind = encoding.spoken - unit[0]
    tail = len(encoding.cue_ids) + len(encoding.answer_ids)
    written = len(encoding.response_ids) - unit[-1] + SLACK
    necessity_takes = 2 * written if task.rewrites else behind + (SLACK if task.judge.needs_text else 0)
    drawn = task.samples * (len(encoding.response_ids) - unit[0] + SLACK + tail)
    return necessity_takes + (drawn or tail)


@dataclass(frozen=True)
class Plan:
    """The sufficiency and the necessity job of some units of a caption.

    samples:   H completions behind each prefix, 0 for none
    coupling:  how those of neighbouring prefixes are drawn
    estimator: what they are drawn for
    """

    units: Sequence[tuple[int, ...]]
    keeps: Job
    masks: Job
    samples: int
    coupling: str
    estimator: str


def outcomes_of(
    engine: Engine, plans: Sequence[Plan], *, seed: int, precision: float = 0.0
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Outcomes of the sufficiency and of the necessity job of each caption.

    Args:
        seed: of sampled completions.
        precision: they are drawn until the standard error of a unit is below this; 0 draws all.

    Returns:
        Arrays (N, H), or (N, 1) for H = 0, and (M, 1). NaN stands for completions that were not drawn.
    """
    found: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    as_it_is = [index for index, plan in enumerate(plans) if not plan.samples]
    # One run, so that the whole response, which is in both plans, is put through the model once.
    both = [
        replace(plan.keeps, interventions=plan.keeps.interventions + plan.masks.interventions)
        for plan in (plans[index] for index in as_it_is)
    ]
    for index, outcome in zip(as_it_is, engine.run_jobs(both), strict=True):
        prefixes = len(plans[index].keeps.interventions)
        found[index] = outcome[:prefixes], outcome[prefixes:]
    for how in sorted({(plan.samples, plan.coupling) for plan in plans if plan.samples}):
        drawn = [index for index, plan in enumerate(plans) if (plan.samples, plan.coupling) == how]
        some = [plans[index] for index in drawn]
        outcomes_s = _drawn(engine, some, seed, precision)
        outcomes_n = engine.run_jobs([plan.masks for plan in some])
        found.update(zip(drawn, zip(outcomes_s, outcomes_n, strict=True), strict=True))
    return [found[index] for index in range(len(plans))]


def _drawn(engine: Engine, plans: Sequence[Plan], seed: int, precision: float) -> list[np.ndarray]:
    """Outcomes of sampled completions behind the prefixes of each plan, all with the same H and coupling."""
    samples, coupling = plans[0].samples, plans[0].coupling
    outcomes = [np.full((len(plan.keeps.interventions), samples), np.nan) for plan in plans]
    open_rows = [list(range(len(outcome_NH))) for outcome_NH in outcomes]
    first = 0
    while first < samples and any(open_rows):
        # As many again as there are, so that looking costs little and no more than twice what is needed is drawn.
        count = min(max(first, FIRST_DRAWS), samples - first) if precision else samples
        going = [index for index, rows in enumerate(open_rows) if rows]
        jobs = [
            replace(
                plans[index].keeps,
                interventions=tuple(plans[index].keeps.interventions[row] for row in open_rows[index]),
                streams=tuple(open_rows[index]),
            )
            for index in going
        ]
        found = engine.run_jobs(jobs, samples=count, seed=seed, coupling=coupling, first=first)
        first += count
        for index, outcome_NH in zip(going, found, strict=True):
            outcomes[index][open_rows[index], first - count : first] = outcome_NH
            so_far_NH, plan = outcomes[index][:, :first], plans[index]
            open_rows[index] = sufficiency.unsettled(plan.units, so_far_NH, plan.estimator, precision)
    return [outcome_NH[:, :first] for outcome_NH in outcomes]


@dataclass
class _Scan:
    """What the unedited caption tells: per token log-probability and entropy, where it is needed its log-probability
    behind the reference image, and for signals what predicts it."""

    logprob_T: np.ndarray
    entropy_T: np.ndarray
    prior_T: list[float] | None
    logits_TV: Tensor | None


def _scans(engine: Engine, tasks: Sequence[CaptionTask]) -> list[_Scan]:
    """Of all captions together: alone, each would take a forward of few tokens."""
    encodings = [task.encoding for task in tasks]
    logits: Sequence[Tensor | None] = [None] * len(tasks)
    if any(task.settings.signals is not None for task in tasks):
        # Which read the logits themselves.
        logits = read = [engine.scan(encoding) for encoding in encodings]
        scanned = [
            logprob_and_entropy(logits_TV, encoding.response_ids)
            for logits_TV, encoding in zip(read, encodings, strict=True)
        ]
    else:
        scanned = engine.scans(encodings, logprob_and_entropy)
    rows = [
        Request(
            task.encoding,
            Continuation(task.encoding.response_ids, reference=True),
            tuple(range(len(task.encoding.response_ids))),
        )
        for task in tasks
        if task.needs_prior
    ]
    priors = iter(engine.logprobs(rows, lambda count: None) if rows else [])
    return [
        _Scan(*scan, next(priors).tolist() if task.needs_prior else None, logits_TV)
        for task, scan, logits_TV in zip(tasks, scanned, logits, strict=True)
    ]


def _forecast(engine: Engine, task: CaptionTask) -> int:
    """Token positions that a task takes at most."""
    if task.settings.level == "auto":
        return ROUNDS * FORWARDS * (task.encoding.prompt_length + task.encoding.spoken)
    if not task.samples:
        return engine.forecast([task.job(task.plan_s + task.plan_n)])
    return engine.forecast([task.job(task.plan_s)], task.samples) + engine.forecast([task.job(task.plan_n)])


def _attribution(
    engine: Engine,
    task: CaptionTask,
    scan: _Scan,
    measured: _Measured,
    refinement: dict[str, Any] | None,
    *,
    signals: Taken | None,
    spent: Cost,
    captions: int,
    seconds: float,
) -> Attribution:
    encoding, settings = task.encoding, task.settings
    attribution = Attribution(
        caption=encoding.response,
        tokens=_tokens(
            encoding,
            measured.units,
            logprob=scan.logprob_T,
            entropy=scan.entropy_T,
            sufficiency=measured.sufficiency_U,
            sufficiency_se=measured.error_U,
            necessity=measured.necessity_U,
            causal_completeness=causal_completeness(
                measured.sufficiency_U, measured.necessity_U, settings.lambda_s, settings.lambda_n
            ),
        ),
        image=encoding.picture.record,
        prompt=encoding.prompt,
        question=encoding.question,
        answer=encoding.answer,
        model=task.vlm.record,
        outcome=_outcome_record(task, measured.whole),
        settings={
            "against": settings.against,
            "mask": settings.mask,
            "samples": task.samples,
            "seed": settings.seed,
            "precision": settings.precision,
            "coupling": task.coupling,
            "estimator": task.estimator,
            "level": settings.level,
            "tokens": settings.tokens,
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
        refinement=refinement,
        sampling=measured.sampling(len(encoding.response_ids)),
    )
    if signals is not None:
        tokens = [replace(token, signals=signals.of_token(token.index)) for token in attribution.tokens]
        attribution = replace(attribution, tokens=tokens)
    if task.calibration is None or scan.prior_T is None:
        return attribution
    return judged(attribution, scan.prior_T, task.calibration, known=task.known)


def _outcome_record(task: CaptionTask, whole: float | None) -> dict[str, Any]:
    record: dict[str, Any] = {"name": task.judge.name, "meaning": task.judge.meaning}
    if whole is not None:
        record["value"] = whole
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

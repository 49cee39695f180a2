"""One picture and one caption to an `Attribution`: plan, run, read."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from causal_attrib.attribution import Attribution, Token
from causal_attrib.engine import COUPLINGS, ENGINES, Engine, Job, SharedEngine
from causal_attrib.engine.base import Request
from causal_attrib.errors import InputError
from causal_attrib.interventions import check_fill
from causal_attrib.outcomes import Outcome, check_contrast, choose_outcome
from causal_attrib.outcomes.choose import check_name
from causal_attrib.scores import necessity, sufficiency
from causal_attrib.scores.coherence import check_reasoned, coherence_of
from causal_attrib.scores.completeness import causal_completeness
from causal_attrib.scores.entropy import logprob_and_entropy
from causal_attrib.scores.verdict import OUTCOME, check_outcome, judged, read_calibration
from causal_attrib.version import __version__
from causal_attrib.vlm import VLM, Encoding, Row, load

LEVELS = ("token", "word")
# COPO draws H completions per prefix and does not say how many; outcomes that read log-probabilities need none.
SAMPLES_FOR_TEXT = 4


def score(
    image,
    caption: str | Sequence[int] | None = None,
    *,
    model: str | VLM | None = None,
    prompt: str | None = None,
    question: str | None = None,
    answer: str | None = None,
    objects: list[str] | None = None,
    outcome: str = "auto",
    against: str = "colour",
    mask: str = "zero",
    samples: int | None = None,
    estimator: str = "paired",
    coupling: str = "independent",
    level: str = "token",
    lambda_s: float = 0.35,
    lambda_n: float = 0.35,
    engine: str | SharedEngine = "auto",
    batch_size: int | str = "auto",
    seed: int = 0,
    verdict: bool = False,
    calibration: str | os.PathLike | None = None,
    coherence: bool = False,
    progress: Callable[[int, int], None] | None = None,
    announce: Callable[[int, int, float], None] | None = None,
) -> Attribution:
    """Score every token of a caption: sufficiency, necessity, causal completeness, log-probability and entropy.

    Args:
        image: path, PIL image or uint8 array (height, width, 3).
        caption: the text to score, or the ids the model wrote; None lets the model write one first.
        model: a loaded `VLM`, a folder or hub id, or None for the bundled model.
        prompt: what the model was asked; default "Describe this image."
        question, answer: what the caption is to help answer, and the answer that counts as right.
        objects: objects annotated for the image, in COCO's vocabulary.
        outcome: what "right" means: auto, likelihood, match, objects, yesno, grounding or module:function.
        against: what grounding holds the picture against: "colour", a picture of one colour, or "blur", the picture
            itself until no object is left in it. Against the blur a word earns nothing by suiting the place.
        mask: how a token is hidden for necessity: zero or mean (embedding), token, delete.
        samples: H sampled completions per prefix for sufficiency; 0 judges the prefix as it is. Default 0, or 4 for
            outcomes that judge text.
        estimator: "paired" (the paper's) or "mean_gain".
        coupling: "independent" draws or position-keyed "gumbel" draws.
        level: "token", or "word" to hide and keep all tokens of a word at once (each gets the word's score).
        lambda_s, lambda_n: weights in causal completeness, from 0 to 1.
        engine: "packed" puts all edits behind one reading of the picture, "plain" runs an ordinary forward for each;
            "auto" is packed where the model can be packed and, checked at first use, gives plain's numbers. For several
            captions of one picture and prompt, one `SharedEngine` reads those once.
        batch_size: rows per forward; "auto" is what suits the engine, the device and the memory that is free.
        seed: of the sampled completions.
        verdict: also say of each word whether the image bears it out, with the probability that it is false
            (`scores.verdict`); for the outcome grounding.
        calibration: what turns evidence into that probability: a file of `copo eval verdict --fit`; None is that of the
            bundled model, and the result says so where the model is another.
        coherence: also say how strongly picture and prompt drive the reasoning, and the reasoning the answer
            (`scores.coherence`); for a caption with reasoning and an answer.
        progress: called with (interventions done, interventions in all).
        announce: called once before they are run, with their number, the token positions that they take at most, and
            about how many seconds that is, judged by the time that reading the caption took.

    Raises:
        InputError: anything in the input that can be mended, in one sentence.
    """
    shared = engine if isinstance(engine, SharedEngine) else SharedEngine(engine)
    check_settings(
        outcome=outcome,
        against=against,
        mask=mask,
        samples=samples,
        estimator=estimator,
        coupling=coupling,
        level=level,
        lambda_s=lambda_s,
        lambda_n=lambda_n,
        engine=shared.name,
        batch_size=batch_size,
        seed=seed,
        verdict=verdict,
        calibration=calibration,
    )
    chosen = read_calibration(calibration, level) if verdict else None
    if coherence and isinstance(caption, str):
        check_reasoned(caption, answer)
    began = time.perf_counter()
    vlm = model if isinstance(model, VLM) else load(model)
    generated = caption is None
    if generated:
        caption = vlm.describe(image, prompt)
    encoding = vlm.encode(image, prompt, caption, answer, question=question, against=against)
    judge = choose_outcome(outcome, encoding, objects)
    check_contrast(judge.name, against)
    if verdict:
        check_outcome(judge.name, against, mask)
    coherent = coherence_of(vlm, encoding, seed=seed).to_dict() if coherence else None
    if samples is None:
        samples = SAMPLES_FOR_TEXT if judge.needs_text else 0

    units = encoding.units(level)
    rewrites = judge.needs_text and not encoding.answers_a_question
    plan_s = sufficiency.plan(units)
    plan_n = necessity.plan(units, mask, rewrites=rewrites)
    runner = shared.chosen(vlm, encoding, batch_size, _counter(progress, len(plan_s) + len(plan_n)))
    before = replace(runner.cost)
    scanning = time.perf_counter()
    logprob_T, entropy_T = logprob_and_entropy(runner.scan(encoding), encoding.response_ids)
    prior_T = _neutral_logprob(runner, encoding) if verdict else None
    if announce is not None:
        per_position = (time.perf_counter() - scanning) / max(runner.cost.since(before).positions, 1)
        runs = [(plan_s, samples), (plan_n, 0)] if samples else [(plan_s + plan_n, 0)]
        positions = sum(runner.forecast([Job(encoding, plan, judge)], drawn) for plan, drawn in runs)
        announce(len(plan_s) + len(plan_n), positions, positions * per_position)

    draws = {"samples": samples, "seed": seed, "coupling": coupling}
    if samples:
        outcome_s = runner.run(encoding, plan_s, judge, **draws)
        outcome_n = runner.run(encoding, plan_n, judge)
    else:
        # One run, so that the whole response, which is in both plans, is put through the model once.
        outcome_s, outcome_n = np.split(runner.run(encoding, plan_s + plan_n, judge), [len(plan_s)])
    sufficiency_U, error_U = sufficiency.read(units, outcome_s, estimator)
    necessity_U = necessity.read(outcome_n[:, 0], rewrites=rewrites)
    completeness_U = causal_completeness(sufficiency_U, necessity_U, lambda_s, lambda_n)

    seconds, spent = time.perf_counter() - began, runner.cost.since(before)
    attribution = Attribution(
        caption=encoding.response,
        tokens=_tokens(
            encoding,
            units,
            logprob=logprob_T,
            entropy=entropy_T,
            sufficiency=sufficiency_U,
            sufficiency_se=error_U,
            necessity=necessity_U,
            causal_completeness=completeness_U,
        ),
        image=encoding.picture.record,
        prompt=encoding.prompt,
        question=encoding.question,
        answer=encoding.answer,
        model=vlm.record,
        outcome=_outcome_record(judge, outcome_n, encoding, objects, rewrites),
        settings={
            "against": against,
            "mask": mask,
            **draws,
            "estimator": estimator,
            "level": level,
            "lambda_s": lambda_s,
            "lambda_n": lambda_n,
            "engine": runner.name,
            "batch_size": batch_size,
        },
        cost={"forwards": spent.forwards, "positions": spent.positions, "seconds": round(seconds, 3)},
        tool={"name": "copo", "version": __version__},
        generated=generated,
        coherence=coherent,
    )
    return judged(attribution, prior_T, chosen) if verdict else attribution


def _neutral_logprob(engine: Engine, encoding: Encoding) -> list[float]:
    """Log-probability of each token of the response behind the neutral picture."""
    row, places = Row(encoding.response_ids, neutral=True), tuple(range(len(encoding.response_ids)))
    (logprob_T,) = engine.logprobs([Request(encoding, row, places)], lambda count: None)
    return logprob_T.tolist()


def _outcome_record(
    outcome: Outcome, outcome_n: np.ndarray, encoding: Encoding, objects: list[str] | None, rewrites: bool
) -> dict:
    record = {"name": outcome.name, "meaning": outcome.meaning}
    if not rewrites:
        record["value"] = float(outcome_n[0, 0])
    if outcome.name == "objects":
        record["objects"] = sorted(outcome.annotated)
    return record


def _tokens(encoding: Encoding, units, *, logprob, entropy, **of_units) -> list[Token]:
    unit_of = {t: u for u, unit in enumerate(units) for t in unit}
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
            **{
                name: float(values[unit_of[t]]) if t in unit_of and values is not None else None
                for name, values in of_units.items()
            },
        )
        for t, (start, end) in enumerate(encoding.spans)
    ]


def _counter(progress: Callable[[int, int], None] | None, total: int) -> Callable[[int], None]:
    done = 0

    def advance(count: int) -> None:
        nonlocal done
        done += count
        if progress is not None:
            progress(done, total)

    return advance


def check_settings(
    *,
    outcome,
    against,
    mask,
    samples,
    estimator,
    coupling,
    level,
    lambda_s,
    lambda_n,
    engine,
    batch_size,
    seed,
    verdict,
    calibration,
) -> None:
    """Raises InputError for a setting of `score` that is wrong for any picture and caption."""
    check_name(outcome)
    check_contrast(outcome, against)
    check_fill(mask)
    for what, value, allowed in (
        ("level", level, LEVELS),
        ("estimator", estimator, sufficiency.ESTIMATORS),
        ("coupling", coupling, COUPLINGS),
        ("engine", engine, ENGINES),
    ):
        if value not in allowed:
            raise InputError(f"There is no {what} {value!r}; choose one of {', '.join(allowed)}.")
    for what, value in (("lambda_s", lambda_s), ("lambda_n", lambda_n)):
        if not (math.isfinite(value) and 0 <= value <= 1):
            raise InputError(f"{what} is {value}, but the weights of the scores lie between 0 and 1.")
    if samples is not None and samples < 0:
        raise InputError(f"The number of samples is {samples}, but it must be 0 or more.")
    if batch_size != "auto" and not (isinstance(batch_size, int) and batch_size >= 1):
        raise InputError(f"The batch size is {batch_size!r}, but it must be a whole number from 1 up, or auto.")
    if seed < 0:
        raise InputError(f"The seed is {seed}, but it must be 0 or more.")
    if calibration is not None and not verdict:
        raise InputError("A calibration is for verdicts; ask for them too: add --verdict (or verdict=True).")
    if verdict:
        check_outcome(OUTCOME if outcome == "auto" else outcome, against, mask)
        read_calibration(calibration, level)

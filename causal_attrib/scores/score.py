"""One picture and one caption to an `Attribution`: plan, run, read."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

import numpy as np

from causal_attrib.attribution import Attribution, Token
from causal_attrib.engine import COUPLINGS, ENGINES, Job, choose_engine
from causal_attrib.errors import InputError
from causal_attrib.interventions import check_fill
from causal_attrib.outcomes import Outcome, choose_outcome
from causal_attrib.scores import necessity, sufficiency
from causal_attrib.scores.completeness import causal_completeness
from causal_attrib.scores.entropy import logprob_and_entropy
from causal_attrib.version import __version__
from causal_attrib.vlm import VLM, Encoding, load

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
    mask: str = "zero",
    samples: int | None = None,
    estimator: str = "paired",
    coupling: str = "independent",
    level: str = "token",
    lambda_s: float = 0.35,
    lambda_n: float = 0.35,
    engine: str = "auto",
    batch_size: int | str = "auto",
    seed: int = 0,
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
        mask: how a token is hidden for necessity: zero or mean (embedding), token, delete.
        samples: H sampled completions per prefix for sufficiency; 0 judges the prefix as it is. Default 0, or 4 for
            outcomes that judge text.
        estimator: "paired" (the paper's) or "mean_gain".
        coupling: "independent" draws or position-keyed "gumbel" draws.
        level: "token", or "word" to hide and keep all tokens of a word at once (each gets the word's score).
        lambda_s, lambda_n: weights in causal completeness, from 0 to 1.
        engine: "packed" puts all edits behind one reading of the picture, "plain" runs an ordinary forward for each;
            "auto" is packed where the model can be packed and, checked at first use, gives plain's numbers.
        batch_size: rows per forward; "auto" is what suits the engine, the device and the memory that is free.
        seed: of the sampled completions.
        progress: called with (interventions done, interventions in all).
        announce: called once before they are run, with their number, the token positions that they take at most, and
            about how many seconds that is, judged by the time that reading the caption took.

    Raises:
        InputError: anything in the input that can be mended, in one sentence.
    """
    _check(level, estimator, coupling, engine, lambda_s, lambda_n, samples, batch_size, seed)
    check_fill(mask)
    began = time.perf_counter()
    vlm = model if isinstance(model, VLM) else load(model)
    generated = caption is None
    if generated:
        caption = vlm.describe(image, prompt)
    encoding = vlm.encode(image, prompt, caption, answer, question=question)
    judge = choose_outcome(outcome, encoding, objects)
    if samples is None:
        samples = SAMPLES_FOR_TEXT if judge.needs_text else 0

    units = encoding.units(level)
    rewrites = judge.needs_text and not encoding.answers_a_question
    plan_s = sufficiency.plan(units)
    plan_n = necessity.plan(units, mask, rewrites=rewrites)
    runner = choose_engine(engine, vlm, encoding, batch_size, _counter(progress, len(plan_s) + len(plan_n)))
    scanning = time.perf_counter()
    logprob_T, entropy_T = logprob_and_entropy(runner.scan(encoding), encoding.response_ids)
    if announce is not None:
        per_position = (time.perf_counter() - scanning) / runner.cost.positions
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

    seconds = time.perf_counter() - began
    return Attribution(
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
            "mask": mask,
            **draws,
            "estimator": estimator,
            "level": level,
            "lambda_s": lambda_s,
            "lambda_n": lambda_n,
            "engine": runner.name,
            "batch_size": batch_size,
        },
        cost={"forwards": runner.cost.forwards, "positions": runner.cost.positions, "seconds": round(seconds, 3)},
        tool={"name": "copo", "version": __version__},
        generated=generated,
    )


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


def _check(level, estimator, coupling, engine, lambda_s, lambda_n, samples, batch_size, seed) -> None:
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

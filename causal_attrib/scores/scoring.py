"""One picture and one caption to an `Attribution`."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from causal_attrib.choices import (
    Against,
    BatchSize,
    Coupling,
    EngineName,
    Estimator,
    Fill,
    Level,
    OutcomeName,
    OutcomeWords,
)
from causal_attrib.engine import SharedEngine
from causal_attrib.io.pictures import ImageLike
from causal_attrib.results.attribution import Attribution
from causal_attrib.scores.caption_task import Announce, make_task, run_tasks
from causal_attrib.scores.inputs import Caption, Inputs, check_inputs
from causal_attrib.scores.settings import Settings
from causal_attrib.vlm import VLM, load
from causal_attrib.vlm.threads import on_suited_threads

# Called with (interventions done, interventions in all).
Progress = Callable[[int, int], None]


def score(
    image: ImageLike,
    caption: Caption = None,
    *,
    model: str | VLM | None = None,
    prompt: str | None = None,
    question: str | None = None,
    answer: str | None = None,
    objects: list[str] | None = None,
    outcome: OutcomeName | str = Settings.outcome,
    against: Against = Settings.against,
    mask: Fill = Settings.mask,
    samples: int | None = Settings.samples,
    precision: float = Settings.precision,
    estimator: Estimator | None = Settings.estimator,
    coupling: Coupling | None = Settings.coupling,
    level: Level = Settings.level,
    tokens: str | int = Settings.tokens,
    outcome_words: OutcomeWords = Settings.outcome_words,
    lambda_s: float = Settings.lambda_s,
    lambda_n: float = Settings.lambda_n,
    engine: EngineName | SharedEngine = Settings.engine,
    batch_size: BatchSize = Settings.batch_size,
    seed: int = Settings.seed,
    signals: str | Sequence[str] | None = Settings.signals,
    verdict: bool = Settings.verdict,
    calibration: str | os.PathLike[str] | None = Settings.calibration,
    coherence: bool = Settings.coherence,
    progress: Progress | None = None,
    announce: Announce | None = None,
) -> Attribution:
    """Score every token of a caption: sufficiency, necessity, causal completeness, log-probability and entropy.

    Args:
        image: path, PIL image, array, tensor, bytes, data URI (docs/pictures.md).
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
        precision: completions are drawn until the standard error of a word's sufficiency is below this, at least 8 and
            at most H; 0 draws all H.
        estimator: "paired" (the paper's), "mean_gain", or "product" for outcomes of 0 and 1; None is mean_gain for
            outcomes that judge text, else paired.
        coupling: "independent" draws or position-keyed "gumbel" draws; None is gumbel for outcomes that judge text,
            else independent.
        level: "token", or "word" to hide and keep all tokens of a word at once (each gets the word's score), or
            "sentence" those of a sentence; "auto" takes sentences first, then the words of those that matter, for long
            answers (`scores.refinement`).
        tokens: which units are intervened upon: "all", "content", "top-entropy", "top-logprob-gap" or a number
            (`scores.selection`); the others have no score.
        outcome_words: which words grounding looks at: "all", or "content", those that claim something.
        lambda_s, lambda_n: weights in causal completeness, from 0 to 1.
        engine: "packed" puts all edits behind one reading of the picture, "plain" runs an ordinary forward for each;
            "auto" is packed where the model can be packed and, checked at first use, gives plain's numbers. For several
            captions of one picture and prompt, one `SharedEngine` reads those once.
        batch_size: rows per forward; "auto" is what suits the engine, the device and the memory that is free.
        seed: of the sampled completions.
        signals: names of signals of hallucination that each token also gets (`scores.signals`); "all" leaves out those
            that the model does not have, and the result says which and why.
        verdict: also say of each word whether the image bears it out, with the probability that it is false
            (`scores.verdict`); for the outcome grounding.
        calibration: what turns evidence into that probability: a file of `copo eval verdict --fit`; None is that of the
            bundled model, and the result says so where the model is another.
        coherence: also say how strongly picture and prompt drive the reasoning, and the reasoning the answer
            (`scores.coherence_channels.channels`); for a caption with reasoning and an answer.
        progress: called with (interventions done, interventions in all).
        announce: called once before they are run, with their number, the token positions that they take at most, and
            about how many seconds that is, judged by the time that reading the caption took.

    Raises:
        InputError: anything in the input that can be mended, in one sentence.
    """
    shared = engine if isinstance(engine, SharedEngine) else SharedEngine(engine)
    settings = Settings(
        outcome=outcome,
        against=against,
        mask=mask,
        samples=samples,
        precision=precision,
        estimator=estimator,
        coupling=coupling,
        level=level,
        tokens=str(tokens),
        outcome_words=outcome_words,
        lambda_s=lambda_s,
        lambda_n=lambda_n,
        engine=shared.name,
        batch_size=batch_size,
        seed=seed,
        signals=signals,
        verdict=verdict,
        calibration=calibration,
        coherence=coherence,
    )
    inputs = check_inputs(settings, image, [caption], prompt=prompt, question=question, answer=answer, objects=objects)
    vlm = model if isinstance(model, VLM) else load(model)
    (attribution,) = score_inputs(vlm, settings, inputs, shared, progress=progress, announce=announce)
    return attribution


@on_suited_threads
def score_inputs(
    vlm: VLM,
    settings: Settings,
    inputs: Inputs,
    engine: SharedEngine | None = None,
    *,
    progress: Progress | None = None,
    announce: Announce | None = None,
) -> list[Attribution]:
    """The captions of one picture, one after the other; the engine reads the picture once for all.

    Args:
        engine: that of the settings; None makes one.
        progress, announce: as in `score`, for each caption anew.
    """
    shared = engine or SharedEngine(settings.engine)
    attributions = []
    for caption in inputs.captions:
        task = make_task(
            vlm,
            settings,
            inputs.picture,
            caption,
            prompt=inputs.prompt,
            question=inputs.question,
            answer=inputs.answer,
            objects=inputs.objects,
            calibration=inputs.calibration,
        )
        runner = shared.chosen(vlm, task.encoding, settings.batch_size, _counter(progress, task.interventions))
        attributions += run_tasks(runner, [task], announce)
    return attributions


def _counter(progress: Progress | None, total: int) -> Callable[[int], None]:
    done = 0

    def advance(count: int) -> None:
        nonlocal done
        done += count
        if progress is not None:
            # How many rounds a refinement takes is known when it is done.
            progress(done, max(done, total))

    return advance

"""Which earlier word moved which later word: log-probabilities of each with one word before it hidden.

    I(u, v) = log p(v | picture, o_<v) - log p(v | picture, o_<v with u hidden)        in nats, for u before v

summed over the tokens of v. It is what the outcome of necessity sums over all v, before it is summed.

Axes: T response tokens, U hidden and V read words (or tokens).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from causal_attrib.choices import ENGINES, WORD_LEVELS, BatchSize, EngineName, Level, check_batch_size, one_of
from causal_attrib.engine import choose_engine
from causal_attrib.engine.base import Request
from causal_attrib.interventions import Intervention, Mask, Whole, edit
from causal_attrib.io.pictures import ImageLike
from causal_attrib.results.interactions import Interactions
from causal_attrib.scores.inputs import Caption, check_inputs
from causal_attrib.scores.settings import Settings
from causal_attrib.vlm import VLM, Continuation, Encoding, load
from causal_attrib.vlm.threads import on_suited_threads

# Hidden tokens keep their place, so that what follows is read at its own.
MASKS = ("zero", "mean")


def interactions(
    image: ImageLike,
    caption: Caption = None,
    *,
    model: str | VLM | None = None,
    prompt: str | None = None,
    level: Level = "word",
    mask: str = "zero",
    engine: EngineName = Settings.engine,
    batch_size: BatchSize = Settings.batch_size,
    progress: Callable[[int], None] | None = None,
) -> Interactions:
    """Hide each word and read all that follow it.

    Args:
        image, caption, model, prompt, engine, batch_size: as in `causal_attrib.score`.
        level: "word", or "token" for each token by itself.
        mask: how a word is hidden: zero or mean (embedding).
        progress: called with the number of words just read.

    Raises:
        InputError: anything in the input that can be mended, in one sentence.
    """
    one_of("mask of interactions", mask, MASKS)
    one_of("level of interactions", level, WORD_LEVELS)
    one_of("engine", engine, ENGINES)
    check_batch_size(batch_size)
    picture = check_inputs(Settings(), image, [caption], prompt=prompt).picture
    vlm = model if isinstance(model, VLM) else load(model)
    encoding = vlm.encode(picture, prompt, vlm.describe(picture, prompt) if caption is None else caption)
    return _read(vlm, encoding, level, mask, engine, batch_size, progress or (lambda count: None))


@on_suited_threads
def _read(
    vlm: VLM,
    encoding: Encoding,
    level: Level,
    mask: str,
    engine: EngineName,
    batch_size: BatchSize,
    advance: Callable[[int], None],
) -> Interactions:
    vlm.check_hiding(encoding)
    units = encoding.units(level)
    ids = tuple(encoding.response_ids)
    plan: list[Intervention] = [Whole(), *(Mask(tuple(unit), mask) for unit in units)]
    edits = [edit(ids, one, 0) for one in plan]
    requests = [
        Request(encoding, Continuation(edited.ids, edited.hidden, edited.fill), edited.visible) for edited in edits
    ]
    runner = choose_engine(engine, vlm, encoding, batch_size)
    read = runner.logprobs(requests, advance)
    logprob_NT = np.full((len(edits), len(ids)), np.nan)
    for row_T, edited, found in zip(logprob_NT, edits, read, strict=True):
        row_T[list(edited.visible)] = found.double().numpy()
    values_UV = np.full((len(units), len(units)), np.nan)
    for u in range(len(units)):
        lost_T = logprob_NT[0] - logprob_NT[1 + u]
        for v in range(u + 1, len(units)):
            values_UV[u, v] = lost_T[list(units[v])].sum()
    labels = tuple("".join(encoding.response[slice(*encoding.spans[t])] for t in unit) for unit in units)
    return Interactions(labels, values_UV, encoding.response, level, mask)

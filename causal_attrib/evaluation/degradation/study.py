"""What a model writes about pictures that get worse: is it right, and how sure was it of what it wrote?

The entropy of a text is the mean over its tokens of H_t = - sum_y p_t(y) log p_t(y), in nats, over the full vocabulary
at temperature 1 (HERO's DEP): of the distributions that it was written from, read again with the text in place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pandas as pd
import torch
from PIL import Image

from causal_attrib.engine.base import chunks
from causal_attrib.evaluation.degradation.pictures import KINDS, WORST, degrade
from causal_attrib.evaluation.degradation.tasks import ANSWER, CAPTION, REASONED, DegradationItem, DegradationTask
from causal_attrib.io.pictures import read_picture
from causal_attrib.scores import logprob_and_entropy
from causal_attrib.vlm import VLM
from causal_attrib.vlm.text import decode, spans_of_ids
from causal_attrib.words.reasoning import split_response

# A reasoned answer is judged twice: by all that was written, and by the tokens of the answer alone.
REASONING, REASONED_ANSWER = "reasoning", "reasoned answer"
MODES = (CAPTION, ANSWER, REASONING, REASONED_ANSWER)


def study(
    items: Sequence[DegradationItem],
    vlm: VLM,
    *,
    longest: int = 128,
    batch_size: int | str = "auto",
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> pd.DataFrame:
    """A row for each text: image, mode, degradation, severity, right (0 or 1), entropy (nats).

    The undegraded picture is asked about once and stands at severity 0 of every degradation. A reasoned response
    without an answer that could be found has no entropy of the answer (NaN).

    Args:
        longest: largest number of tokens of a text.
        batch_size: pictures per forward; "auto" is 8.
    """
    rows, asked = [], sum(len(item.tasks) for item in items)
    done = 0
    for number, item in enumerate(items):
        picture = read_picture(item.picture).pixels
        steps = [(KINDS[0], 0)] + [(kind, severity) for kind in KINDS for severity in range(1, WORST + 1)]
        pictures = [degrade(picture, kind, severity, (seed, number)) for kind, severity in steps]
        for task in item.tasks:
            at_once = batch_size if isinstance(batch_size, int) else 8
            written = write(vlm, pictures, task.prompt, longest, at_once)
            for (kind, severity), (ids, entropy_T) in zip(steps, written, strict=True):
                read = list(_read(vlm, task, ids, entropy_T))
                for of_kind in KINDS if severity == 0 else (kind,):
                    row = {"image": item.image, "degradation": of_kind, "severity": severity}
                    rows += [row | {"mode": mode, "right": right, "entropy": entropy} for mode, right, entropy in read]
            done += 1
            if progress is not None:
                progress(done, asked)
    return pd.DataFrame(rows)


@torch.no_grad()
def write(
    vlm: VLM, pictures: Sequence[Image.Image], prompt: str, longest: int, batch_size: int
) -> list[tuple[tuple[int, ...], np.ndarray]]:
    """What the model says (greedy) about each of some pictures of one size: its ids, and the entropy at each (T,)."""
    written = []
    for some in chunks(pictures, batch_size):
        asked = [vlm.ask(picture, prompt) for picture in some]
        texts = vlm.write_together(asked, longest)
        most = max(map(len, texts))
        # What stands behind a text is not seen by it, so any token fills up the shorter ones.
        filled = [(*ids, *[vlm.pad_id] * (most - len(ids))) for ids in texts]
        rows = [vlm.family.extend(inputs, [ids], vlm.pad_id) for inputs, ids in zip(asked, filled, strict=True)]
        batch = {name: torch.cat([row[name] for row in rows]) for name in rows[0]}
        logits_BTV = vlm.family.logits(batch, most + 1)[:, :-1]
        vlm.check_numbers(logits_BTV)
        for ids, logits_TV in zip(texts, logits_BTV, strict=True):
            written.append((ids, logprob_and_entropy(logits_TV[: len(ids)], ids)[1]))
    return written


def _read(
    vlm: VLM, task: DegradationTask, ids: tuple[int, ...], entropy_T: np.ndarray
) -> Iterator[tuple[str, int, float]]:
    """(mode, right, entropy) of a text; one of no tokens has no entropy."""
    right = int(task.is_right(decode(vlm.tokenizer, ids).strip()))
    if task.kind != REASONED:
        yield task.kind, right, _mean(entropy_T)
        return
    yield REASONING, right, _mean(entropy_T)
    yield REASONED_ANSWER, right, _mean(entropy_T[_answer_tokens(vlm, ids)])


def _answer_tokens(vlm: VLM, ids: tuple[int, ...]) -> list[int]:
    """Places of the tokens of the answer that a reasoned response leads to; none where it gives no answer."""
    text, spans = spans_of_ids(vlm.tokenizer, ids)
    parts = split_response(text)
    if parts is None:
        return []
    start = parts.end + len(parts.cue)
    end = start + len(parts.answer)
    # The space before the answer may be its first token's.
    return [index for index, (first, last) in enumerate(spans) if last > start and first < end]


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else float("nan")

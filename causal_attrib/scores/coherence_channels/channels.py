"""Coherence: does the reasoning follow from what was seen and asked, and the answer from the reasoning?

CE-PO (arXiv 2509.23095; definitions as in the authors' code) asks this of text, Z -> X -> Y with question Z, reasoning
X and answer Y. Here Z is the picture and the prompt, each a source of its own, which makes five channels:

    image -> reasoning     prompt -> reasoning     reasoning -> answer     image -> answer     prompt -> answer

Each is the S in [0.005, 1] of `coherence_algebra`, from Jacobians of summed log-likelihoods (`coherence_jacobians`),
with that of counterfactuals taken out: words of the prompt or of the reasoning, or patches of the picture, in random
order. The channels to the answer are direct ones: what runs through the reasoning is taken out first, by one regression
for each source. One set of Jacobians is taken, and three more for each draw.

The aggregate is ours: the power mean of CE-PO's reward with its weights for coherence alone (p = 0.2; accuracy 0, each
channel 1/3), the shares of Z -> X and Z -> Y halved between picture and prompt.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from causal_attrib.choices import MOST_DRAWN, check_count, check_seed
from causal_attrib.errors import InputError
from causal_attrib.io.pictures import ImageLike
from causal_attrib.scores.coherence_channels.algebra import aligned_mean, channel_score, with_counterfactuals
from causal_attrib.scores.coherence_channels.counterfactuals import shuffled_patches, shuffled_words
from causal_attrib.scores.coherence_channels.jacobians import Jacobians, take_jacobians
from causal_attrib.scores.coherence_channels.reasoned import check_reasoned
from causal_attrib.scores.coherence_channels.sources import positions_in_prompt
from causal_attrib.scores.inputs import check_texts
from causal_attrib.scores.saliency_methods.features import Door
from causal_attrib.scores.saliency_methods.geometry import token_grid
from causal_attrib.vlm import VLM, Encoding, load
from causal_attrib.vlm.text import tokenize
from causal_attrib.vlm.threads import on_suited_threads

WEIGHTS = {
    "image_to_reasoning": 1 / 6,
    "prompt_to_reasoning": 1 / 6,
    "reasoning_to_answer": 1 / 3,
    "image_to_answer": 1 / 6,
    "prompt_to_answer": 1 / 6,
}
P = 0.2
DRAWS = 4
# Where image tokens stand for no part of the picture.
GRID = (8, 8)
# Stands for the response where only the prompt matters.
_PLACE = "."


@dataclass(frozen=True)
class Coherence:
    """How strongly and purely each part of a reasoned answer drives the next; all numbers in [0.005, 1].

    channels:  for each of the five the S of its Jacobian as it is (C = 0: nothing taken out)
    hardened:  the S with what counterfactuals give too taken out, which is CE-PO's
    aggregate: weighted power mean of the hardened channels
    tokens:    how many image, prompt, reasoning and answer tokens there are; a source of one token scores high for free
    draws:     counterfactuals per source
    seed:      of their orders
    """

    channels: dict[str, float]
    hardened: dict[str, float]
    aggregate: float
    tokens: dict[str, int]
    draws: int
    seed: int

    def to_dict(self) -> dict[str, Any]:
        """The entry `coherence` of the JSON schema."""
        return asdict(self)


def coherence(
    image: ImageLike,
    caption: str | Sequence[int],
    *,
    model: str | VLM | None = None,
    prompt: str | None = None,
    question: str | None = None,
    answer: str | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> Coherence:
    """How coherent a reasoned answer is: picture and prompt -> reasoning -> answer.

    Args:
        image: path, PIL image, array, tensor, bytes, data URI (docs/pictures.md).
        caption: `<think> .. </think> <answer> .. </answer>`, or reasoning that ends in "the final answer is ..".
        model: a loaded `VLM`, a folder or hub id, or None for the bundled model.
        prompt: what the model was asked; default the question.
        question: the same by the name it has in `score`.
        answer: the answer whose likelihood is looked at; default the caption's own.
        draws: counterfactuals per source, 1 or more (K in CE-PO).
        seed: of their orders.

    Raises:
        InputError: there is no reasoning or no answer, or anything else in the input that can be mended.
    """
    check_count("The number of draws", draws, MOST_DRAWN)
    check_seed(seed)
    check_texts([caption], prompt=prompt, question=question, answer=answer)
    if isinstance(caption, str):
        check_reasoned(caption, answer)
    vlm = model if isinstance(model, VLM) else load(model)
    return coherence_of(vlm, vlm.encode(image, prompt, caption, answer, question=question), draws=draws, seed=seed)


@on_suited_threads
def coherence_of(vlm: VLM, encoding: Encoding, *, draws: int = DRAWS, seed: int = 0) -> Coherence:
    """`coherence` of what is encoded already.

    Raises:
        InputError: no reasoning or no answer, the prompt cannot be found in the row that is written, or the image
            tokens cannot be reached or are of another width than words, so that the regression has no meaning.
    """
    check_reasoned(encoding.response, encoding.answer)
    try:
        door = Door(vlm, encoding)
    except InputError:
        raise InputError(f"The image tokens of {vlm.name} cannot be reached, so coherence has no picture.") from None
    said = _said(encoding)
    shown = encoding.prompt_inputs
    base = _jacobians(vlm, shown, encoding.prompt, said, door)
    of_xy = base.reasoning_to_answer_XD
    width, wide = of_xy.shape[1], base.image[1].shape[1]
    if wide % width:
        raise InputError(
            f"Coherence needs image tokens as wide as words, and those of {vlm.name} have {wide} features and words "
            f"{width}; take a model that reads image tokens among its words."
        )
    drawn_prompt, drawn_image, drawn_xy = [], [], []
    for draw in range(draws):
        generator = np.random.default_rng([seed, draw])
        words = shuffled_words(encoding.prompt, generator)
        patches = shuffled_patches(encoding.picture.pixels, _grid(encoding), generator)
        anew = _shuffled_reasoning(vlm, encoding, generator)
        asked = vlm.encode(encoding.picture, words, _PLACE).prompt_inputs
        seen = vlm.encode(patches, encoding.prompt, _PLACE).prompt_inputs
        drawn_prompt.append(_jacobians(vlm, asked, words, said).question)
        drawn_image.append(_jacobians(vlm, seen, encoding.prompt, said, door).image)
        drawn_xy.append(_jacobians(vlm, shown, encoding.prompt, anew).reasoning_to_answer_XD)
    # Features that enter deeper layers lie behind those that enter first, each layer's as wide as words.
    image_x, image_y = with_counterfactuals(base.image, drawn_image, of_xy.repeat(1, wide // width))
    prompt_x, prompt_y = with_counterfactuals(base.question, drawn_prompt, of_xy)
    reasoning_y = of_xy, aligned_mean(drawn_xy, len(of_xy))
    pairs = dict(zip(WEIGHTS, (image_x, prompt_x, reasoning_y, image_y, prompt_y), strict=True))
    hardened = {name: channel_score(j_SD, c_SD).item() for name, (j_SD, c_SD) in pairs.items()}
    return Coherence(
        channels={name: channel_score(j_SD, torch.zeros_like(j_SD)).item() for name, (j_SD, _) in pairs.items()},
        hardened=hardened,
        aggregate=math.fsum(WEIGHTS[name] * s**P for name, s in hardened.items()) ** (1 / P),
        tokens={
            "image": len(image_x[0]),
            "prompt": len(prompt_x[0]),
            "reasoning": len(said.reasoning),
            "answer": len(said.answer),
        },
        draws=draws,
        seed=seed,
    )


class _Said(NamedTuple):
    """Ids behind the prompt, and which of them reason and which answer."""

    ids: tuple[int, ...]
    reasoning: range
    answer: range


def _said(encoding: Encoding, reasoning_ids: tuple[int, ...] | None = None) -> _Said:
    """What stands behind the prompt, with other ids in the place of the reasoning if there are any."""
    before = encoding.response_ids[: encoding.start]
    reasoning = encoding.response_ids[encoding.start : encoding.end] if reasoning_ids is None else reasoning_ids
    ids = before + reasoning + encoding.cue_ids + encoding.answer_ids
    first, last = len(before), len(ids)
    return _Said(ids, range(first, first + len(reasoning)), range(last - len(encoding.answer_ids), last))


def _jacobians(
    vlm: VLM, prompt_inputs: dict[str, Tensor], prompt: str, said: _Said, door: Door | None = None
) -> Jacobians:
    asked = positions_in_prompt(vlm, prompt_inputs, prompt)
    return take_jacobians(vlm, prompt_inputs, said.ids, asked, said.reasoning, said.answer, door)


def _grid(encoding: Encoding) -> tuple[int, int]:
    return token_grid(encoding.layout) if any(encoding.layout.boxes) else GRID


def _shuffled_reasoning(vlm: VLM, encoding: Encoding, generator: np.random.Generator) -> _Said:
    """The same with the words of the reasoning in random order; what they are split into may change."""
    start, end = encoding.spans[encoding.start][0], encoding.spans[encoding.end - 1][1]
    words = shuffled_words(encoding.response[start:end], generator)
    talk = vlm.family.converse(encoding.prompt)
    lead = vlm.family.lead(talk.before)
    if start == 0:
        ids, _ = tokenize(vlm.tokenizer, talk.separator + words, after=lead)
    else:
        ids, _ = tokenize(vlm.tokenizer, words, after=lead + talk.separator + encoding.response[:start])
    return _said(encoding, ids)

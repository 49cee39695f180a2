"""How each part of what a model reads drives the likelihood of what it says: gradients with respect to embeddings.

CE-PO (arXiv 2509.23095). Z is the question, X the reasoning, Y the answer; E is the output of the embedding layer:

    J_ZX = dL_X/dE_Z     J_ZY = dL_Y/dE_Z (all ways, through X too)     J_XY = dL_Y/dE_X
    L_X = sum log p(x tokens),  L_Y = sum log p(y tokens), each given all before it

The sums begin with the first token of X and of Y. (The authors' code leaves that one out, so that an answer of one
token scores nothing.) The picture is a source as words are: E is then what the language model is given of it, a vector
per image token.

Axes: Z, X tokens of question and reasoning, N image tokens, D embedding, L positions, T tokens behind the prompt,
V vocabulary, K sums of log-likelihoods.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor

from causal_attrib.errors import InputError
from causal_attrib.scores.saliency_methods.features import Door
from causal_attrib.scores.saliency_methods.reader import frozen
from causal_attrib.vlm import VLM


class Slopes(NamedTuple):
    """Gradients of K log-likelihoods, and where they were taken; all in float32. None without a door.

    of_words_KLD: with respect to the embedding at each position of the row
    of_image_KND: with respect to each image token
    words_LD, image_ND: the embeddings and image tokens themselves
    """

    of_words_KLD: Tensor
    words_LD: Tensor
    of_image_KND: Tensor | None = None
    image_ND: Tensor | None = None


class Jacobians(NamedTuple):
    """One row per token of the source, in float32: J_ZX (Z, D), J_ZY (Z, D), J_XY (X, D).

    The picture's own, dL_X/dE and dL_Y/dE (N, D), are there where a door was given.
    """

    question_to_reasoning_ZD: Tensor
    question_to_answer_ZD: Tensor
    reasoning_to_answer_XD: Tensor
    image_to_reasoning_ND: Tensor | None = None
    image_to_answer_ND: Tensor | None = None

    @property
    def question(self) -> tuple[Tensor, Tensor]:
        return self.question_to_reasoning_ZD, self.question_to_answer_ZD

    @property
    def image(self) -> tuple[Tensor, Tensor]:
        if self.image_to_reasoning_ND is None or self.image_to_answer_ND is None:
            raise ValueError("Jacobians of the picture are taken through a door, and none was given.")
        return self.image_to_reasoning_ND, self.image_to_answer_ND


def take_jacobians(
    vlm: VLM,
    prompt_inputs: dict[str, Tensor],
    ids: Sequence[int],
    question: Sequence[int],
    reasoning: Sequence[int],
    answer: Sequence[int],
    door: Door | None = None,
) -> Jacobians:
    """Jacobians from one forward over picture, prompt and what follows, and two backwards. No `.grad` is touched.

    Args:
        prompt_inputs: of picture and prompt (batch 1).
        ids: T ids behind the prompt.
        question: positions of Z in the prompt.
        reasoning, answer: indices of X and Y in `ids`.
        door: to take those of the picture too, which costs one more forward.
    """
    slopes = take_slopes(vlm, prompt_inputs, ids, (reasoning, answer), door)
    of_reasoning_LD, of_answer_LD = slopes.of_words_KLD
    first = prompt_inputs[vlm.family.row].shape[1]
    return Jacobians(
        of_reasoning_LD[list(question)],
        of_answer_LD[list(question)],
        of_answer_LD[[first + t for t in reasoning]],
        *(() if slopes.of_image_KND is None else slopes.of_image_KND),
    )


def take_slopes(
    vlm: VLM,
    prompt_inputs: dict[str, Tensor],
    ids: Sequence[int],
    said: Sequence[Sequence[int]],
    door: Door | None = None,
) -> Slopes:
    """Gradients of the log-likelihood of K parts of what follows a prompt, one forward and K backwards.

    Args:
        prompt_inputs: of picture and prompt (batch 1).
        ids: T ids behind the prompt.
        said: for each part the indices of its tokens in `ids`.
        door: to the image tokens, for gradients with respect to these too.

    Raises:
        InputError: a gradient is NaN, or the image tokens cannot be reached.
    """
    inputs = vlm.family.extend(prompt_inputs, [tuple(ids)], vlm.pad_id)
    length = inputs[vlm.family.row].shape[1]
    with frozen(vlm.model):
        image_BND = None if door is None else _image_tokens(vlm, inputs, door)
        with torch.enable_grad(), _embeddings(vlm, length) as embedded:
            if door is None or image_BND is None:
                logits_TV = vlm.family.logits(inputs, len(ids) + 1)[0, :-1]
            else:
                with door.replacing(image_BND):
                    logits_TV = vlm.family.logits(inputs, len(ids) + 1)[0, :-1]
            ids_T = torch.tensor(ids, device=logits_TV.device)
            logprob_T = logits_TV.float().log_softmax(-1).gather(1, ids_T[:, None])[:, 0]
            leaves = [embedded[0]] if image_BND is None else [embedded[0], image_BND]
            found = [torch.autograd.grad(logprob_T[list(part)].sum(), leaves, retain_graph=True) for part in said]
    of_each = [torch.stack([one[0] for one in of_leaf]).float() for of_leaf in zip(*found, strict=True)]
    for slopes in of_each:
        vlm.check_numbers(slopes)
    values = [leaf[0].detach().float() for leaf in leaves]
    return Slopes(of_each[0], values[0], *(() if door is None else (of_each[1], values[1])))


def _image_tokens(vlm: VLM, inputs: dict[str, Tensor], door: Door) -> Tensor:
    """What the language model is given of the picture (1, N, D), as a leaf."""
    with torch.no_grad(), door.reading() as found:
        vlm.family.logits(inputs, 1)
    if not found:
        raise InputError(f"The image tokens of {vlm.name} cannot be reached; take another model.")
    return found[0][:1].detach().requires_grad_(True)


@contextmanager
def _embeddings(vlm: VLM, length: int) -> Iterator[list[Tensor]]:
    """While it lasts, embeddings of rows of this length are leaves, and are noted in the list."""
    noted: list[Tensor] = []

    def note(module: torch.nn.Module, args: object, embedded_BLD: Tensor) -> Tensor | None:
        if embedded_BLD.shape[1] != length:
            return None
        noted.append(embedded_BLD.detach().requires_grad_(True))
        # Models write image features into what they are given, which a leaf does not allow.
        return noted[-1].clone()

    handle = vlm.family.embedding.register_forward_hook(note)
    try:
        yield noted
    finally:
        handle.remove()

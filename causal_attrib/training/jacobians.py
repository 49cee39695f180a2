"""How one part of a text drives the likelihood of another: gradients with respect to input embeddings.

CE-PO (arXiv 2509.23095). Z is the question, X the reasoning, Y the answer; E is the output of the embedding layer:

    J_ZX = dL_X/dE_Z     J_ZY = dL_Y/dE_Z (all ways, through X too)     J_XY = dL_Y/dE_X
    L_X = sum log p(x tokens),  L_Y = sum log p(y tokens), each given all before it

The sums begin with the first token of X and of Y. (The authors' code leaves that one out, so that an answer of one
token scores nothing.)

Axes: Z, X tokens of question and reasoning, D embedding, L positions, T tokens behind the prompt, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor

from causal_attrib.vlm import VLM


class Jacobians(NamedTuple):
    """One row per token of the source, in float32: J_ZX (Z, D), J_ZY (Z, D), J_XY (X, D)."""

    question_to_reasoning_ZD: Tensor
    question_to_answer_ZD: Tensor
    reasoning_to_answer_XD: Tensor


def take_jacobians(
    vlm: VLM,
    prompt_inputs: dict[str, Tensor],
    ids: Sequence[int],
    question: Sequence[int],
    reasoning: Sequence[int],
    answer: Sequence[int],
) -> Jacobians:
    """Jacobians from one forward over picture, prompt and what follows, and two backwards. No `.grad` is touched.

    Args:
        prompt_inputs: of picture and prompt (batch 1).
        ids: T ids behind the prompt.
        question: positions of Z in the prompt.
        reasoning, answer: indices of X and Y in `ids`.
    """
    prompt_length = prompt_inputs[vlm.family.row].shape[1]
    inputs = vlm.family.extend(prompt_inputs, [tuple(ids)], vlm.pad_id)
    with torch.enable_grad(), _embeddings(vlm, prompt_length + len(ids)) as embedded:
        logprob_TV = vlm.family.logits(inputs, len(ids) + 1)[0, :-1].float().log_softmax(-1)
        ids_T = torch.tensor(ids, device=logprob_TV.device)
        logprob_T = logprob_TV.gather(1, ids_T[:, None])[:, 0]
        (of_reasoning_BLD,) = torch.autograd.grad(logprob_T[list(reasoning)].sum(), embedded[0], retain_graph=True)
        (of_answer_BLD,) = torch.autograd.grad(logprob_T[list(answer)].sum(), embedded[0])
    vlm.check_numbers(of_reasoning_BLD)
    vlm.check_numbers(of_answer_BLD)
    return Jacobians(
        of_reasoning_BLD[0, list(question)].float(),
        of_answer_BLD[0, list(question)].float(),
        of_answer_BLD[0, [prompt_length + t for t in reasoning]].float(),
    )


@contextmanager
def _embeddings(vlm: VLM, length: int) -> Iterator[list[Tensor]]:
    """While it lasts, embeddings of rows of this length are leaves, and are noted in the list."""
    noted: list[Tensor] = []

    def note(module, args, embedded_BLD: Tensor) -> Tensor | None:
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

"""How much each token of a completion depends on the picture: what the policy says of it with the picture and without.

One more reading of each completion, behind a picture that is spoilt or behind no picture at all. The other one, behind
the picture, is shared by all completions of a prompt, and equal completions are read once.

Axes: B completions, T tokens, V vocabulary.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from causal_attrib.engine import Engine, PlainEngine
from causal_attrib.engine.base import Request, chunks
from causal_attrib.objectives import sampled_dependency, vocabulary_dependency
from causal_attrib.scores import logprob_and_entropy
from causal_attrib.training.scoring.rollout import Rollout
from causal_attrib.training.scoring.spoilt import Spoil, without_picture
from causal_attrib.vlm import VLM, Continuation, Encoding

# Rows of an ordinary forward over short prompts, and how many logits are held at once.
_ROWS, _LOGITS = 8, 2**26


@dataclass(frozen=True)
class Dependence:
    """How it is measured how much a token depends on the picture, at temperature 1.

    spoil:      what the picture is held against
    vocabulary: by the divergence of the whole distributions (`objectives.vocabulary_dependency`), not by its estimate
                from the token that was written (`objectives.sampled_dependency`)
    """

    spoil: Spoil
    vocabulary: bool = False


@dataclass(frozen=True)
class _Alike:
    """Completions that are the same, of one picture and prompt.

    unseen: whose reference is what the picture is held against
    rows:   their numbers in the batch
    """

    prompt: Encoding
    unseen: Encoding
    ids: tuple[int, ...]
    rows: list[int]

    @property
    def places(self) -> tuple[np.ndarray, ...]:
        """Where their tokens stand in (B, T)."""
        return np.ix_(self.rows, range(len(self.ids)))


def read_dependence(
    engine: Engine,
    prompts: Sequence[tuple[Encoding, list[int]]],
    rollouts: Sequence[Rollout],
    dependence: Dependence | None,
    read_2BT: np.ndarray,
) -> None:
    """Write log-probabilities and dependencies of the completions of some prompts.

    Args:
        prompts: each picture with its prompt (`encode_spoilt`, where dependence is asked for), and the numbers of its
            completions.
        dependence: None takes log-probabilities alone.
        read_2BT: gets log-probabilities and dependencies.
    """
    blind = dependence is not None and dependence.spoil.kind == "none"
    alike = _alike(engine.vlm, prompts, rollouts, blind=blind)
    if dependence is not None and dependence.vocabulary:
        for some in _few(alike, len(engine.vlm.tokenizer)):
            seen = engine.scan_rows(some[0].prompt, [one.ids for one in some])
            spoilt = engine.vlm.read(some[0].unseen, [Continuation(one.ids, reference=True) for one in some])
            for one, logits_TV, spoilt_TV in zip(some, seen, spoilt, strict=True):
                read_2BT[0][one.places], _ = logprob_and_entropy(logits_TV, one.ids)
                read_2BT[1][one.places] = vocabulary_dependency(logits_TV, spoilt_TV[:-1]).cpu()
        return
    with_picture = _logprobs(engine, alike, reference=False)
    for one, seen_T in zip(alike, with_picture, strict=True):
        read_2BT[0][one.places] = seen_T
    if dependence is not None:
        # Without a picture the prompt is another, of which branches have not been held against ordinary forwards.
        spoilt = _logprobs(PlainEngine(engine.vlm, _ROWS) if blind else engine, alike, reference=True)
        for one, seen_T, spoilt_T in zip(alike, with_picture, spoilt, strict=True):
            dependency_1T = sampled_dependency(seen_T[None], spoilt_T[None], torch.ones(1, len(seen_T)))
            read_2BT[1][one.places] = dependency_1T[0]


def _alike(
    vlm: VLM, prompts: Sequence[tuple[Encoding, list[int]]], rollouts: Sequence[Rollout], *, blind: bool
) -> list[_Alike]:
    found = []
    for prompt, members in prompts:
        unseen = without_picture(vlm, rollouts[members[0]], prompt) if blind else prompt
        same: dict[tuple[int, ...], list[int]] = {}
        for b in members:
            same.setdefault(rollouts[b].completion_ids, []).append(b)
        found += [_Alike(prompt, unseen, ids, rows) for ids, rows in same.items()]
    return found


def _logprobs(engine: Engine, alike: Sequence[_Alike], *, reference: bool) -> list[Tensor]:
    """Log-probabilities (T,) of each completion, behind its picture or behind what that is held against."""
    requests = [
        Request(
            one.unseen if reference else one.prompt,
            Continuation(one.ids, reference=reference),
            tuple(range(len(one.ids))),
        )
        for one in alike
    ]
    return engine.logprobs(requests, lambda count: None)


def _few(alike: Sequence[_Alike], vocabulary: int) -> Iterator[Sequence[_Alike]]:
    """Completions of one prompt, as many as their logits may be held of at once."""
    for _, group in itertools.groupby(alike, key=lambda one: id(one.prompt)):
        some = list(group)
        longest = max(len(one.ids) for one in some)
        yield from chunks(some, max(1, _LOGITS // ((longest + 1) * vocabulary)))

"""Forwards over nodes of several trees: what is wanted behind different pictures, in one pass over the weights.

Work on a tree is a task, a generator that yields each `Ask` and is sent its logits. Tasks go on side by side, and as
many of their asks as a forward may hold come into it. That is worth it where a forward of few tokens takes as long as
one of many, as on a GPU, whose time goes into reading the weights.
"""

from __future__ import annotations

import itertools
from collections.abc import Generator, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from causal_attrib.engine.attention import JoinedAttention
from causal_attrib.engine.tree import Tree, TreeRequest
from causal_attrib.vlm.prefix_cache import join

Result = TypeVar("Result")


class NotJoinedError(RuntimeError):
    """The model attends where it cannot be seen, so its trees cannot come into one forward."""


def run(tasks: Sequence[Generator[TreeRequest, Tensor, Result]], budget: int) -> list[Result]:
    """What each task returns.

    Args:
        budget: nodes per forward; an ask alone may be larger.

    Raises:
        NotJoinedError: there are several tasks, and the model's trees cannot be joined.
        InputError: the model's numbers are NaN.
    """
    results: dict[int, Result] = {}
    waiting: dict[int, TreeRequest] = {}
    trees: dict[int, Tree] = {}

    def decode_step(number: int, logits_NV: Tensor | None) -> None:
        try:
            task = tasks[number]
            waiting[number] = next(task) if logits_NV is None else task.send(logits_NV)
            trees[number] = waiting[number].tree
        except StopIteration as end:
            if number in trees:
                trees[number].check_numbers()
            results[number] = end.value

    for number in range(len(tasks)):
        decode_step(number, None)
    while waiting:
        chosen: list[int] = []
        room = budget
        for number, ask in waiting.items():
            if not chosen or ask.size <= room:
                chosen.append(number)
                room -= ask.size
        asks = [waiting.pop(number) for number in chosen]
        for number, logits_NV in zip(chosen, forward(asks), strict=True):
            decode_step(number, logits_NV)
    return [results[number] for number in range(len(tasks))]


@torch.no_grad()
def forward(asks: Sequence[TreeRequest]) -> list[Tensor]:
    """Logits (N, V) for each ask, in the model's dtype, from one forward."""
    first = asks[0].tree
    steps = [ask.tree.prepare(ask) for ask in asks]
    if len(asks) == 1:
        (step,) = steps
        with step.attention:
            logits = [
                first.family.decode_step(first.prefix, step.embedded_QD, step.depth_Q, step.seen_QK, step.wanted_N)
            ]
    else:
        if any(ask.tree.prefix.shared for ask in asks):
            raise NotJoinedError  # the pictures are looked at beside the keys
        joined = join([ask.tree.prefix for ask in asks], [ask.size for ask in asks], steps[0].embedded_QD.dtype)
        attention = JoinedAttention(joined, [step.attention for step in steps])
        starts = itertools.accumulate([0, *(ask.size for ask in asks[:-1])])
        with attention:
            logits_NV = first.family.decode_step_together(
                joined,
                torch.cat([step.embedded_QD for step in steps]),
                [step.depth_Q for step in steps],
                [step.seen_QK for step in steps],
                torch.cat([start + step.wanted_N for start, step in zip(starts, steps, strict=True)]),
            )
        if not attention.caught_all:
            raise NotJoinedError
        logits = logits_NV.split([len(ask.wanted) for ask in asks])
    first.cost.add(0, forwards=1)
    for ask, logits_NV in zip(asks, logits, strict=True):
        ask.tree.take(ask, logits_NV)
    return list(logits)

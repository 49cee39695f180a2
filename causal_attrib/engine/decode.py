"""Many texts written at once behind one prompt: one token of each per forward, shared beginnings put through once."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from causal_attrib.engine.base import Draft
from causal_attrib.engine.device import moved
from causal_attrib.engine.gumbel import GumbelNoise, add_noise
from causal_attrib.engine.node import ROOT
from causal_attrib.engine.tree import Tree, TreeRequest


@dataclass(eq=False)
class _Text:
    """A text in the making.

    leaf: the node it has come to
    left: how many tokens it may still get
    then: the text it goes on as from here on, if it has run into the beginning of that
    """

    draft: Draft
    leaf: int
    left: int
    ids: list[int] = field(default_factory=list)
    then: _Text | None = None

    def all_ids(self) -> tuple[int, ...]:
        return tuple(self.ids) + (self.then.all_ids() if self.then else ())


def decode(tree: Tree, drafts: Sequence[Draft], budget: int) -> Generator[TreeRequest, Tensor, list[tuple[int, ...]]]:
    """What follows each draft; its nodes stay in the tree's cache. A task of `engine.together`.

    Args:
        budget: nodes per forward.
    """
    vlm = tree.vlm
    paths = [tree.path(draft.row) for draft in drafts]
    texts = [
        _Text(draft, int(path[-1]) if len(path) else ROOT, _room(tree, draft))
        for draft, path in zip(drafts, paths, strict=True)
    ]
    beginning: dict[tuple[int, GumbelNoise | None, int], _Text] = {
        (text.leaf, text.draft.noise, text.left): text for text in texts if text.draft.noise is not None
    }
    active = [text for text in texts if text.left]
    if not active:
        return [()] * len(drafts)
    unwritable = moved(np.array(vlm.unwritable_ids, np.int64), tree.device)
    scores_RV = yield from tree.expect(np.array([text.leaf for text in active]), budget)
    shared = tree.keys
    while True:
        scores_RV.index_fill_(1, unwritable, -torch.inf)
        places = [len(text.draft.row.ids) + len(text.ids) for text in active]
        add_noise(scores_RV, [text.draft.noise for text in active], places)
        for text, token in zip(active, scores_RV.argmax(-1).tolist(), strict=True):
            if token in vlm.end_ids:
                text.left = 0
                continue
            text.ids.append(token)
            text.left -= 1
            text.leaf = tree.nodes.child(text.leaf, token)
            # With coupled noise a text that comes to where another begins goes on as that does.
            text.then = beginning.get((text.leaf, text.draft.noise, text.left))
        active = [text for text in active if text.left and text.then is None]
        if not active:
            return [text.all_ids() for text in texts]
        scores_RV = yield from tree.expect(np.array([text.leaf for text in active]), budget, shared)


def _room(tree: Tree, draft: Draft) -> int:
    return tree.vlm.room(draft.encoding.prompt_length + len(draft.row.ids), draft.longest)

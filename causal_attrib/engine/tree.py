"""Texts behind one picture and prompt as a tree of tokens: what texts begin with alike is put through the model once.

The root is the prompt, whose keys and values are in the cache. A path from it spells a text; a node's keys and values
depend on its path alone, so any number of nodes can be put through in one forward behind a mask that shows each of them
its own path and nothing else (docs/engine.md shows one).

Axes: Q nodes of one forward, K keys, N nodes whose logits are wanted, V vocabulary, D embedding.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from causal_attrib.engine.attention import OwnKeys, PickedKeys
from causal_attrib.engine.base import chunks
from causal_attrib.engine.cost import Cost
from causal_attrib.engine.device import moved
from causal_attrib.engine.node import FILLS, NONE, ROOT, Nodes, concatenated, distinct
from causal_attrib.vlm import VLM, Continuation


@dataclass(frozen=True)
class TreeRequest:
    """Logits (N, V) that are wanted behind nodes of a tree, from one forward; `engine.together` runs it.

    nodes:  are put into the cache; not in it yet, each behind its parent or with that in the cache
    wanted: among `nodes`, or in the cache (those are put through again and leave no second key)
    shared: keys behind this many are picked out node by node, which is worth it where each sees few of them
    """

    tree: Tree
    nodes: np.ndarray
    wanted: np.ndarray
    shared: int | None = None

    @property
    def again(self) -> np.ndarray:
        return self.wanted[self.tree.nodes.place_N[self.wanted] >= 0]

    @property
    def size(self) -> int:
        """Nodes that it puts through."""
        return len(self.nodes) + len(self.again)


@dataclass
class Step:
    """What a forward is given of one tree.

    embedded_QD, depth_Q, seen_QK: of the nodes that are put through, as `Family.decode_step` takes them
    wanted_N:  which of these logits are wanted of
    attention: how they attend
    """

    embedded_QD: Tensor
    depth_Q: Tensor
    seen_QK: Tensor
    wanted_N: Tensor
    attention: OwnKeys | PickedKeys


class Tree:
    """The tree of one prompt and the cache behind it.

    Args:
        inputs: model inputs of picture and prompt (batch 1).
        stem: a text that is read together with the prompt, in one ordinary forward.
        cost: what the tree puts through is added to.
    """

    def __init__(self, vlm: VLM, inputs: dict[str, Tensor], stem: tuple[int, ...], cost: Cost):
        self.vlm, self.family, self.cost = vlm, vlm.family, cost
        longer = self.family.extend(inputs, [stem], vlm.pad_id)
        with torch.no_grad():
            self.prefix = self.family.prefill(longer, len(stem) + 1)
        vlm.check_numbers(self.prefix.logits_TV)
        cost.add(longer[self.family.row].shape[1])
        self.read = len(stem)  # tokens behind the prompt that came in with it
        self.prompt_keys = self.prefix.length - self.read
        self.nodes = Nodes()
        self.cached: list[int] = []  # in the order of their keys
        self.largest: list[Tensor] = []  # of the logits of each forward, until they are looked at
        self._cache(self.path(Continuation(stem)))

    @property
    def device(self) -> torch.device:
        return self.prefix.logits_TV.device

    @property
    def keys(self) -> int:
        """How many keys the cache holds."""
        return self.prompt_keys + len(self.cached)

    def path(self, row: Continuation) -> np.ndarray:
        """The nodes of a row's tokens, made where they are new."""
        return self.nodes.spell(row)

    # -- forwards ---------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def prepare(self, ask: TreeRequest) -> Step:
        """What a forward is to be given of this tree."""
        again = ask.again
        forward = concatenated([ask.nodes, again])
        seen_QK = self.sees(ask.nodes, again)
        attention: OwnKeys | PickedKeys
        if ask.shared is None:
            attention = PickedKeys(self.prefix, seen_QK)
        else:
            attention = OwnKeys(self.prefix, ask.shared, _places(seen_QK, ask.shared))
        by_number = forward.argsort()
        return Step(
            self._embed(forward),
            # The family counts from the end of what was read.
            depth_Q=self._moved(self.nodes.depth_N[forward] - self.read),
            seen_QK=self._moved(seen_QK),
            wanted_N=self._moved(by_number[np.searchsorted(forward, ask.wanted, sorter=by_number)]),
            attention=attention,
        )

    def take(self, ask: TreeRequest, logits_NV: Tensor) -> None:
        """Note what a forward has put into the cache."""
        again = ask.again
        if len(logits_NV):
            self.largest.append(logits_NV.amax())
        self.cost.add(len(ask.nodes) + len(again), forwards=0)
        self.family.cut(self.prefix, len(again))
        self._cache(ask.nodes)

    def check_numbers(self) -> None:
        """Raises InputError if the model gave NaN. Asked once and not of each forward, for which a GPU would stop."""
        largest, self.largest = self.largest, []
        if largest:
            self.vlm.check_numbers(torch.stack(largest))

    def is_known(self, nodes: np.ndarray) -> np.ndarray:
        """Of which nodes logits are known: of the root, and of what was read together with the prompt."""
        place = self.nodes.place_N[nodes]
        return (nodes == ROOT) | ((place != NONE) & (place < self.prompt_keys + self.read))

    def known(self, nodes: np.ndarray) -> Tensor:
        """Logits (N, V), float32, behind such nodes."""
        return self.prefix.logits_TV[self._moved(self.nodes.depth_N[nodes] + 1)]

    def expect(
        self, leaves: np.ndarray, budget: int, shared: int | None = None
    ) -> Generator[TreeRequest, Tensor, Tensor]:
        """Logits (R, V), float32, behind each of `leaves`, which are put into the cache if they are not there.

        A task of `engine.together`.

        Args:
            leaves: a node may stand there more than once.
            budget: nodes per forward.
            shared: see `TreeRequest`.
        """
        each = distinct(leaves)
        is_known = self.is_known(each)
        asked = each[~is_known]
        found, logits = list[np.ndarray](), list[Tensor]()
        if len(asked) < len(each) or not len(each):
            found, logits = [each[is_known]], [self.known(each[is_known])]
        is_asked_N = np.zeros(len(self.nodes), bool)
        is_asked_N[asked] = True
        forward = concatenated([self.nodes.unplaced(asked), asked[self.nodes.place_N[asked] != NONE]])
        for piece in chunks(forward, budget):
            wanted = piece[is_asked_N[piece]]
            new = piece[self.nodes.place_N[piece] == NONE]
            found.append(wanted)
            logits.append((yield TreeRequest(self, new, wanted, shared)).float())
        all_found = np.concatenate(found)
        by_number = all_found.argsort()
        row_R = by_number[np.searchsorted(all_found, leaves, sorter=by_number)]
        logits_NV = logits[0] if len(logits) == 1 else torch.cat(logits)
        in_order = len(logits_NV) == len(row_R) and (row_R == np.arange(len(row_R))).all()
        return logits_NV if in_order else logits_NV[self._moved(row_R)]

    def sees(self, nodes: np.ndarray, again: np.ndarray | None = None) -> np.ndarray:
        """The mask of a forward over `nodes` and `again`: bool (Q, K), True where a query looks at a key.

        A node sees the prompt, its own path and itself. One that is put through again sees its new key, not its old.
        """
        forward = nodes if again is None else concatenated([nodes, again])
        before, count, parent_Q = self.keys, len(forward), self.nodes.parent_N[forward]
        seen_QK = np.zeros((count, before + count), dtype=bool)
        seen_QK[:, : self.prompt_keys] = True
        seen_QK[np.arange(count), before + np.arange(count)] = True
        # Queries in a row, each the child of the last, see what the first of them does and one another.
        is_first_Q = np.ones(count, bool)
        is_first_Q[1 : len(nodes)] = parent_Q[1 : len(nodes)] != nodes[:-1]
        firsts = np.flatnonzero(is_first_Q)
        query_of = dict(zip(nodes.tolist(), range(len(nodes)), strict=True))
        parents = [query_of.get(parent) for parent in parent_Q[firsts].tolist()]
        outside = firsts[[parent is None for parent in parents]]
        index, upper = self.nodes.above(forward[outside])
        seen_QK[outside[index], self.nodes.place_N[upper]] = True
        ends = [*firsts[1:].tolist(), count]
        for first, end, parent in zip(firsts.tolist(), ends, parents, strict=True):
            if parent is not None:
                seen_QK[first] |= seen_QK[parent]
            if end > first + 1:
                seen_QK[first + 1 : end] |= seen_QK[first]
                seen_QK[first + 1 : end, before + first : before + end] |= np.tri(end - first, dtype=bool)[1:]
        return seen_QK

    def cut(self, count: int, *, prune: bool = True) -> None:
        """Take all but the first `count` nodes out of the cache.

        Args:
            prune: forget nodes that are not in it, as far as they were made after the last that is.
        """
        gone = self.cached[count:]
        if gone:
            self.family.cut(self.prefix, len(gone))
        self.cached = self.cached[:count]
        self.nodes.place_N[gone] = NONE
        if prune:
            self.nodes.forget(max(self.cached, default=ROOT))

    def _cache(self, nodes: np.ndarray) -> None:
        self.nodes.place_N[nodes] = np.arange(self.keys, self.keys + len(nodes))
        self.cached += nodes.tolist()

    def _moved(self, array: np.ndarray) -> Tensor:
        return moved(array, self.device)

    def _embed(self, nodes: np.ndarray) -> Tensor:
        # A hidden token is any, and overwritten.
        embedded_QD = self.family.embedding(self._moved(self.nodes.token_N[nodes].clip(min=0))[None])[0]
        for number, fill in enumerate(FILLS):
            hidden = np.flatnonzero(self.nodes.fill_N[nodes] == number)
            if fill and len(hidden):
                value = self.vlm.mean_embedding_D.to(embedded_QD) if fill == "mean" else 0.0
                embedded_QD[self._moved(hidden)] = value
        return embedded_QD


def _places(seen_QK: np.ndarray, first: int) -> np.ndarray:
    """Indices (Q, L) of the keys from `first` on that each query sees, -1 behind its last."""
    query_P, key_P = np.nonzero(seen_QK[:, first:])
    count_Q = np.bincount(query_P, minlength=len(seen_QK))
    places_QL = np.full((len(seen_QK), count_Q.max()), -1)
    places_QL[np.arange(places_QL.shape[1]) < count_Q[:, None]] = first + key_P
    return places_QL

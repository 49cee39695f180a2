"""Texts behind one picture and prompt as a tree of tokens: what texts begin with alike is put through the model once.

The root is the prompt, whose keys and values are in the cache. A path from it spells a text; a node's keys and values
depend on its path alone, so any number of nodes can be put through in one forward behind a mask that shows each of them
its own path and nothing else (docs/engine.md shows one).

Axes: Q nodes of one forward, K keys, N nodes whose logits are wanted, V vocabulary, D embedding.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from causal_attrib.engine.attention import OwnKeys, PickedKeys
from causal_attrib.engine.base import chunks
from causal_attrib.engine.cost import Cost
from causal_attrib.engine.node import Node, above, spell, unplaced
from causal_attrib.vlm import VLM, Continuation


@dataclass(frozen=True)
class TreeRequest:
    """Logits (N, V) that are wanted behind nodes of a tree, from one forward; `engine.together` runs it.

    nodes:  are put into the cache; not in it yet, each behind its parent or with that in the cache
    wanted: among `nodes`, or in the cache (those are put through again and leave no second key)
    shared: keys behind this many are picked out node by node, which is worth it where each sees few of them
    """

    tree: Tree
    nodes: Sequence[Node]
    wanted: Sequence[Node]
    shared: int | None = None

    @property
    def again(self) -> list[Node]:
        return [node for node in self.wanted if node.place is not None]

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
        self.root = Node(-1, None, None, -1)
        self.cached: list[Node] = []  # in the order of their keys
        for node in self.path(Continuation(stem)):
            self._cache(node)

    @property
    def device(self) -> torch.device:
        return self.prefix.logits_TV.device

    @property
    def keys(self) -> int:
        """How many keys the cache holds."""
        return self.prompt_keys + len(self.cached)

    def path(self, row: Continuation) -> list[Node]:
        """The nodes of a row's tokens, made where they are new."""
        return spell(self.root, row)

    # -- forwards ---------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def prepare(self, ask: TreeRequest) -> Step:
        """What a forward is to be given of this tree."""
        again = ask.again
        forward = [*ask.nodes, *again]
        seen_QK = self.sees(ask.nodes, again)
        index = {node: number for number, node in enumerate(forward)}
        attention: OwnKeys | PickedKeys
        if ask.shared is None:
            attention = PickedKeys(self.prefix, seen_QK)
        else:
            attention = OwnKeys(self.prefix, ask.shared, _places(seen_QK, ask.shared))
        return Step(
            self._embed(forward),
            # The family counts from the end of what was read.
            depth_Q=torch.tensor([node.depth - self.read for node in forward], device=self.device),
            seen_QK=torch.from_numpy(seen_QK).to(self.device),
            wanted_N=torch.tensor([index[node] for node in ask.wanted], device=self.device, dtype=torch.long),
            attention=attention,
        )

    def take(self, ask: TreeRequest, logits_NV: Tensor) -> None:
        """Note what a forward has put into the cache."""
        again = ask.again
        self.vlm.check_numbers(logits_NV)
        self.cost.add(len(ask.nodes) + len(again), forwards=0)
        self.family.cut(self.prefix, len(again))
        for node in ask.nodes:
            self._cache(node)

    def known(self, node: Node) -> Tensor | None:
        """Logits (V,) behind the root or a node that was read together with the prompt."""
        is_known = node is self.root or (node.place is not None and node.place < self.prompt_keys + self.read)
        return self.prefix.logits_TV[node.depth + 1] if is_known else None

    def expect(
        self, leaves: Sequence[Node], budget: int, shared: int | None = None
    ) -> Generator[TreeRequest, Tensor, Tensor]:
        """Logits (R, V), float32, behind each of `leaves`, which are put into the cache if they are not there.

        A task of `engine.together`.

        Args:
            leaves: a node may stand there more than once.
            budget: nodes per forward.
            shared: see `Ask`.
        """
        distinct = list(dict.fromkeys(leaves))
        logits_of: dict[Node, Any] = {node: self.known(node) for node in distinct}
        asked = [node for node in distinct if logits_of[node] is None]
        forward = [*unplaced(asked), *(node for node in asked if node.place is not None)]
        for piece in chunks(forward, budget):
            wanted = [node for node in piece if node in logits_of]
            new = [node for node in piece if node.place is None]
            logits_of.update(zip(wanted, (yield TreeRequest(self, new, wanted, shared)), strict=True))
        return torch.stack([logits_of[node] for node in leaves]).float()

    def sees(self, nodes: Sequence[Node], again: Sequence[Node] = ()) -> np.ndarray:
        """The mask of a forward over `nodes` and `again`: bool (Q, K), True where a query looks at a key.

        A node sees the prompt, its own path and itself. One that is put through again sees its new key, not its old.
        """
        before = self.keys
        seen_QK = np.zeros((len(nodes) + len(again), before + len(nodes) + len(again)), dtype=bool)
        seen_QK[:, : self.prompt_keys] = True
        row_of: dict[Node, np.ndarray] = {}
        for query, node in enumerate([*nodes, *again]):
            row_K = seen_QK[query]
            if node.parent in row_of:
                row_K |= row_of[node.parent]
            else:
                row_K[[earlier.place for earlier in above(node)]] = True
            row_K[before + query] = True
            if query < len(nodes):
                row_of[node] = row_K
        return seen_QK

    def cut(self, count: int, *, prune: bool = True) -> None:
        """Take all but the first `count` nodes out of the cache.

        Args:
            prune: forget every node that is not in it.
        """
        gone = self.cached[count:]
        if gone:
            self.family.cut(self.prefix, len(gone))
        self.cached = self.cached[:count]
        for node in gone:
            node.place = None
        for node in (self.root, *self.cached) if prune else ():
            node.children = {key: child for key, child in node.children.items() if child.place is not None}

    def _cache(self, node: Node) -> None:
        node.place = self.keys
        self.cached.append(node)

    def _embed(self, nodes: Sequence[Node]) -> Tensor:
        # A hidden token is any, and overwritten.
        ids_Q = torch.tensor([max(node.token, 0) for node in nodes], device=self.device)
        embedded_QD = self.family.embedding(ids_Q[None])[0]
        for fill, value in (("zero", lambda: 0.0), ("mean", lambda: self.vlm.mean_embedding_D.to(embedded_QD))):
            hidden = [query for query, node in enumerate(nodes) if node.fill == fill]
            if hidden:
                embedded_QD[hidden] = value()
        return embedded_QD


def _places(seen_QK: np.ndarray, first: int) -> np.ndarray:
    """Indices (Q, L) of the keys from `first` on that each query sees, -1 behind its last."""
    query_P, key_P = np.nonzero(seen_QK[:, first:])
    count_Q = np.bincount(query_P, minlength=len(seen_QK))
    places_QL = np.full((len(seen_QK), count_Q.max()), -1)
    places_QL[np.arange(places_QL.shape[1]) < count_Q[:, None]] = first + key_P
    return places_QL

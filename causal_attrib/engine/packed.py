"""The packed engine: picture and prompt are read once, and every edit is a branch behind them (docs/engine.md)."""

from __future__ import annotations

import gc
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor

from causal_attrib.engine.base import Draft, Engine, Request, chunks
from causal_attrib.engine.budget import Meter, is_out_of_memory
from causal_attrib.engine.decode import decode
from causal_attrib.engine.node import Node, spell, unplaced
from causal_attrib.engine.tree import Tree
from causal_attrib.vlm import Encoding, Row


@dataclass
class PackedEngine(Engine):
    """Branches of all rows in few forwards behind a float mask, on models whose family says that it `packs`.

    batch_size: rows of full length per forward; "auto" is what suits the device and the memory that is free. Where
        memory runs out all the same, the forwards are made smaller and tried again.
    """

    name = "packed"
    _trees: dict[bool, tuple[tuple, Tree]] = field(default_factory=dict, repr=False)
    _budget: int | None = None
    _holds: bool = False

    def __post_init__(self) -> None:
        self._meter = Meter(self.vlm)

    def scan(self, encoding: Encoding) -> Tensor:
        def look() -> Tensor:
            tree = self._tree(encoding, neutral=False)
            path = [tree.root, *tree.path(Row(encoding.response_ids))]
            return tree.expect(path[:-1], self._nodes(encoding))

        return self._in_memory(look)

    def logprobs(self, requests: Sequence[Request], advance: Callable[[int], None]) -> list[Tensor]:
        answers: dict[int, Tensor] = {}
        for alike in _by_tree(requests):
            some = [requests[n] for n in alike]
            read = self._in_memory(lambda some=some: self._read(some))
            answers.update(zip(alike, read, strict=True))
            advance(len(alike))
        return [answers[n] for n in range(len(requests))]

    def write(self, drafts: Sequence[Draft]) -> list[tuple[int, ...]]:
        written: dict[int, tuple[int, ...]] = {}
        for alike in _by_tree(drafts):
            left = alike
            while left:
                texts = self._in_memory(lambda left=left: self._write([drafts[n] for n in left]))
                written.update(zip(left, texts, strict=False))
                left = left[len(texts) :]
        return [written[n] for n in range(len(drafts))]

    def positions(self, rows: Sequence[tuple[Encoding, Row, int]]) -> int:
        total, trees = 0, {}
        for encoding, row, place in rows:
            key = _tree_key(encoding, row.neutral)
            if (row.neutral, key) not in trees:
                root = Node(-1, None, None, -1)
                stem = spell(root, Row(encoding.response_ids))
                held = self._trees.get(row.neutral, (None, None))[0] == key
                total += -len(stem) if held else encoding.prompt_length
                trees[row.neutral, key] = root, set(stem)
            root, nodes = trees[row.neutral, key]
            # What is read last is only looked up behind the token before it.
            nodes.update(spell(root, row)[: max(place - 1, 0)])
        return total + sum(len(nodes) for _, nodes in trees.values())

    @contextmanager
    def holding(self) -> Iterator[None]:
        self._holds = True
        try:
            yield
        finally:
            self._holds = False
            for _, tree in self._trees.values():
                tree.cut(tree.read)

    def drafts_at_once(self, encoding: Encoding) -> int:
        return min(_MOST_DRAFTS, self._nodes(encoding))

    # -- reading ----------------------------------------------------------------------------------------------------

    def _read(self, requests: Sequence[Request]) -> list[Tensor]:
        tree = self._tree(requests[0].encoding, requests[0].row.neutral)
        for request in requests:
            self.vlm.check_length(request.encoding.prompt_length, len(request.row.ids))
        paths = [tree.path(request.row) for request in requests]
        wanted = [[path[place] for place in request.places] for request, path in zip(requests, paths, strict=True)]
        nodes = list(dict.fromkeys(node for some in wanted for node in some))
        logprob = self._logprobs_of(tree, nodes, self._nodes(requests[0].encoding))
        return [torch.tensor([logprob[node] for node in some], dtype=torch.float32) for some in wanted]

    def _logprobs_of(self, tree: Tree, nodes: Sequence[Node], budget: int) -> dict[Node, float]:
        """Log-probability of each node given its path."""
        behind: dict[Node, list[Node]] = defaultdict(list)
        for node in nodes:
            behind[node.parent].append(node)
        logprob: dict[Node, float] = {}

        def note(parents: Sequence[Node], logits_NV: Tensor) -> None:
            pairs = [(row, node) for row, parent in enumerate(parents) for node in behind[parent]]
            values = gather_logprobs(logits_NV, [row for row, _ in pairs], [node.token for _, node in pairs])
            logprob.update(zip((node for _, node in pairs), values, strict=True))

        before = len(tree.cached)
        unknown = []
        for parent in behind:
            logits_V = tree.known(parent)
            if logits_V is None:
                unknown.append(parent)
            else:
                note([parent], logits_V[None])
        again = [parent for parent in unknown if parent.place is not None]
        for piece in chunks(again, budget):
            note(piece, tree.logits((), piece))
        for forward in forwards(tree, [parent for parent in unknown if parent.place is None], budget):
            parents = [node for node in forward if node in behind]
            note(parents, tree.logits(forward, parents))
        tree.cut(before if self._holds else tree.read)
        return logprob

    # -- writing ----------------------------------------------------------------------------------------------------

    def _write(self, drafts: Sequence[Draft]) -> list[tuple[int, ...]]:
        """The texts of as many of the first drafts as it is best to write at once."""
        tree = self._tree(drafts[0].encoding, drafts[0].row.neutral)
        written = decode(tree, drafts[: self.drafts_at_once(drafts[0].encoding)], self._nodes(drafts[0].encoding))
        if not self._holds:
            tree.cut(tree.read)
        return written

    # -- memory -----------------------------------------------------------------------------------------------------

    def _tree(self, encoding: Encoding, neutral: bool) -> Tree:
        """The tree behind a picture, made if the last one was another's."""
        key = _tree_key(encoding, neutral)
        held, tree = self._trees.get(neutral, (None, None))
        if held != key:
            # The old one is let go first: there may be no room for two.
            self._trees.pop(neutral, None)
            tree = None
            inputs = encoding.neutral_inputs if neutral else encoding.prompt_inputs
            self.vlm.check_length(encoding.prompt_length, len(encoding.response_ids))
            with self._meter.measuring(encoding.prompt_length + len(encoding.response_ids)):
                tree = Tree(self.vlm, inputs, encoding.response_ids, self.cost)
            self._trees[neutral] = (key, tree)
        return tree

    def _nodes(self, encoding: Encoding) -> int:
        """Nodes per forward."""
        if self._budget is None:
            self._budget = self._meter.tokens() if self.batch_size == "auto" else self.batch_size * encoding.spoken
        return self._budget

    def _in_memory(self, job: Callable):
        """The job's result; where memory runs out it is done again from the start in forwards of half the size."""
        while True:
            try:
                return job()
            except (torch.OutOfMemoryError, RuntimeError) as error:
                if not is_out_of_memory(error) or self._budget is None or self._budget < 2:
                    raise
            # Outside of the handler, which would keep alive what filled the memory.
            self._trees.clear()
            self._budget //= 2
            gc.collect()
            if self.vlm.model.device.type == "cuda":
                torch.cuda.empty_cache()


# Texts written at once. More of them make a step's products larger, but each looks past all keys of the others.
_MOST_DRAFTS = 200


def forwards(tree: Tree, wanted: Sequence[Node], budget: int) -> Iterator[list[Node]]:
    """Pack nodes that are not in the cache, and all that they hang on, into forwards of at most `budget` nodes.

    Each forward is to be run before the next is asked for; the cache is cut in between. Subtrees that fit are put
    through whole and forgotten. Of one that does not, the path through its larger halves stays in the cache while what
    hangs on it is packed in turn.
    """
    nodes = unplaced(wanted)
    below: dict[Node | None, list[Node]] = defaultdict(list)
    size = dict.fromkeys(nodes, 1)
    for node in nodes:
        below[node.parent if node.parent in size else None].append(node)
    for node in reversed(nodes):
        if node.parent in size:
            size[node.parent] += size[node]

    def subtree(top: Node) -> list[Node]:
        found, stack = [], [top]
        while stack:
            found.append(stack.pop())
            stack += below[found[-1]]
        return found

    def pack(tops: Sequence[Node]) -> Iterator[list[Node]]:
        mark, room = len(tree.cached), list[Node]()
        for top in (top for top in tops if size[top] <= budget):
            if len(room) + size[top] > budget:
                yield room
                tree.cut(mark, prune=False)
                room = []
            room += subtree(top)
        if room:
            yield room
            tree.cut(mark, prune=False)
        for top in (top for top in tops if size[top] > budget):
            spine = [top]
            while below[spine[-1]]:
                spine.append(max(below[spine[-1]], key=size.get))
            yield from chunks(spine, budget)
            on_spine = set(spine)
            yield from pack([child for node in spine for child in below[node] if child not in on_spine])
            tree.cut(mark, prune=False)

    yield from pack(below[None])


def gather_logprobs(logits_NV: Tensor, rows: Sequence[int], tokens: Sequence[int]) -> list[float]:
    """log softmax of `logits_NV` at (row, token), in float32, for each pair."""
    if not rows:
        return []
    # In slices: a copy of all logits may be the largest thing in memory.
    normaliser_N = torch.cat([part_NV.float().logsumexp(-1) for part_NV in logits_NV.split(64)])
    picked = logits_NV[list(rows), list(tokens)].float()
    return (picked - normaliser_N[list(rows)]).tolist()


def _tree_key(encoding: Encoding, neutral: bool) -> tuple:
    """What a tree's keys and values depend on: the picture, or what is left of it, and the prompt."""
    record = encoding.picture.record
    # One colour is the same for all pictures of a size.
    of_size = neutral and encoding.against == "colour"
    seen = (record["width"], record["height"]) if of_size else record["sha256"]
    # Not the prompt's text: the same words may stand in another conversation.
    return seen, encoding.prompt_key


def _by_tree(items: Sequence[Request] | Sequence[Draft]) -> list[list[int]]:
    """Indices of the items, those of one picture and prompt together."""
    groups: dict[tuple, list[int]] = defaultdict(list)
    for index, item in enumerate(items):
        groups[item.row.neutral, _tree_key(item.encoding, item.row.neutral)].append(index)
    return list(groups.values())

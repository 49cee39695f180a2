"""The packed engine: picture and prompt are read once, and every edit is a branch behind them (docs/engine.md)."""

from __future__ import annotations

import functools
import gc
import itertools
from collections import defaultdict
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from causal_attrib.engine.base import Draft, Engine, ReadsLogits, Request, chunks
from causal_attrib.engine.budget import Meter, drafts_at_once, is_out_of_memory
from causal_attrib.engine.decode import decode
from causal_attrib.engine.node import Node, spell, unplaced
from causal_attrib.engine.together import run
from causal_attrib.engine.tree import Tree, TreeRequest
from causal_attrib.vlm import Continuation, Encoding


@dataclass
class PackedEngine(Engine):
    """Branches of all rows in few forwards behind a float mask, on models whose family says that it `packs`.

    batch_size: rows of full length per forward; "auto" is what suits the device and the memory that is free. Where
        memory runs out all the same, the forwards are made smaller and tried again.
    pictures: how many pictures are held at once, and as many reference images; with several, branches behind all of
        them come into the same forwards, on models that `joins` says it of.
    """

    name = "packed"
    pictures: int = 1
    _trees: dict[_Key, Tree] = field(default_factory=dict, repr=False)
    _adopted: set[_Key] = field(default_factory=set, repr=False)
    _budget: int | None = None
    _holds: bool = False

    def __post_init__(self) -> None:
        self._meter = Meter(self.vlm)

    def scan(self, encoding: Encoding) -> Tensor:
        def look(groups: Sequence[Encoding]) -> list[Tensor]:
            (tree,) = self._grown([(encoding, False)])
            path = [tree.root, *tree.path(Continuation(encoding.response_ids))]
            return run([tree.expect(path[:-1], self._nodes(encoding))], self._nodes(encoding))

        (logits_TV,) = self._in_memory(look, [encoding])
        return logits_TV

    def scans(self, encodings: Sequence[Encoding], read: ReadsLogits) -> list[tuple[np.ndarray, np.ndarray]]:
        found: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        for groups in self._side_by_side([(encoding, False) for encoding in encodings]):
            of_groups = [[encodings[n] for n in some] for some in groups]
            scanned = self._in_memory(functools.partial(self._scan_trees, read), of_groups)
            for some, values in zip(groups, scanned, strict=True):
                found.update(zip(some, values, strict=True))
        return [found[n] for n in range(len(encodings))]

    def adopt(self, before: Engine | None) -> None:
        """Keep what was read of the neutral picture, which is the same for every picture of a size.

        It holds no text, so that numbers do not depend on the captions that came before. The first captions that use it
        again bear its cost, which is then that of any run of theirs.
        """
        if not isinstance(before, PackedEngine) or before.vlm is not self.vlm:
            return
        self._meter.bytes_per_token = before._meter.bytes_per_token
        for key, tree in list(before._trees.items())[-self.pictures :]:
            if key.of_any_picture and not tree.read:
                tree.cut(0)
                tree.cost = self.cost
                self._trees[key] = tree
                self._adopted.add(key)

    def together(self, encodings: Sequence[Encoding]) -> list[list[int]]:
        side_by_side = self._side_by_side([(encoding, False) for encoding in encodings])
        return [list(itertools.chain(*groups)) for groups in side_by_side]

    def logprobs(self, requests: Sequence[Request], advance: Callable[[int], None]) -> list[Tensor]:
        answers: dict[int, Tensor] = {}
        for groups in self._side_by_side([(request.encoding, request.row.reference) for request in requests]):
            read = self._in_memory(self._read, [[requests[n] for n in some] for some in groups])
            for alike, some in zip(groups, read, strict=True):
                answers.update(zip(alike, some, strict=True))
                advance(len(alike))
        return [answers[n] for n in range(len(requests))]

    def write(self, drafts: Sequence[Draft]) -> list[tuple[int, ...]]:
        written: dict[int, tuple[int, ...]] = {}
        for groups in self._side_by_side([(draft.encoding, draft.row.reference) for draft in drafts]):
            left = groups
            while left:
                for some in self._in_memory(functools.partial(self._write, drafts), left):
                    written.update(some)
                left = [rest for group in left if (rest := [n for n in group if n not in written])]
        return [written[n] for n in range(len(drafts))]

    def positions(self, rows: Sequence[tuple[Encoding, Continuation, int]]) -> int:
        total, trees = 0, {}
        for encoding, row, place in rows:
            key = _tree_key(encoding, row.reference)
            if key not in trees:
                root = Node(-1, None, None, -1)
                stem = spell(root, Continuation(_stem(encoding, key)))
                total += -len(stem) if key in self._trees else encoding.prompt_length
                trees[key] = root, set(stem)
            root, nodes = trees[key]
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
            for tree in self._trees.values():
                tree.cut(tree.read)

    def drafts_at_once(self, encoding: Encoding) -> int:
        return min(drafts_at_once(self.vlm), self._nodes(encoding))

    # -- reading ----------------------------------------------------------------------------------------------------

    def _scan_trees(
        self, read: ReadsLogits, groups: Sequence[Sequence[Encoding]]
    ) -> list[list[tuple[np.ndarray, np.ndarray]]]:
        """What `read` makes of each response of several trees."""
        trees = self._grown([(some[0], False) for some in groups])
        budget = self._nodes(groups[0][0])
        for encoding in itertools.chain(*groups):
            self.vlm.check_length(encoding.prompt_length, len(encoding.response_ids))
        responses = [[encoding.response_ids for encoding in some] for some in groups]
        found = run([_scans_of(tree, some, budget, read) for tree, some in zip(trees, responses, strict=True)], budget)
        for tree in trees:
            tree.cut(tree.read)
        return found

    def _read(self, groups: Sequence[Sequence[Request]]) -> list[list[Tensor]]:
        """Log-probabilities of the requests of several trees."""
        trees = self._grown([(some[0].encoding, some[0].row.reference) for some in groups])
        budget = self._nodes(groups[0][0].encoding)
        tasks, wanted = [], []
        for tree, some in zip(trees, groups, strict=True):
            self.vlm.check_length(
                max(request.encoding.prompt_length for request in some), max(len(request.row.ids) for request in some)
            )
            paths = [tree.path(request.row) for request in some]
            wanted.append(
                [[path[place] for place in request.places] for request, path in zip(some, paths, strict=True)]
            )
            nodes = list(dict.fromkeys(node for of_request in wanted[-1] for node in of_request))
            tasks.append(_logprobs_of(tree, nodes, budget))
        before = [len(tree.cached) for tree in trees]
        found = run(tasks, budget)
        for tree, count in zip(trees, before, strict=True):
            tree.cut(count if self._holds else tree.read)
        return [
            [torch.tensor([logprob[node] for node in nodes], dtype=torch.float32) for nodes in of_tree]
            for logprob, of_tree in zip(found, wanted, strict=True)
        ]

    # -- writing ----------------------------------------------------------------------------------------------------

    def _write(self, drafts: Sequence[Draft], groups: Sequence[Sequence[int]]) -> list[dict[int, tuple[int, ...]]]:
        """For each group by their index the texts of as many of the first drafts as it is best to write at once.

        Args:
            groups: indices of the drafts that are wanted, by tree.
        """
        first = drafts[groups[0][0]].encoding
        trees = self._grown([(drafts[some[0]].encoding, drafts[some[0]].row.reference) for some in groups])
        room, chosen = self.drafts_at_once(first), []
        for some in groups:
            chosen.append(some[:room])
            room -= len(chosen[-1])
        chosen = [some for some in chosen if some]
        tasks = [
            decode(tree, [drafts[n] for n in some], self._nodes(first))
            for tree, some in zip(trees, chosen, strict=False)
        ]
        written = run(tasks, self._nodes(first))
        for tree in trees if not self._holds else ():
            tree.cut(tree.read)
        return [dict(zip(some, texts, strict=True)) for some, texts in zip(chosen, written, strict=True)]

    # -- memory -----------------------------------------------------------------------------------------------------

    def _grown(self, wanted: Sequence[tuple[Encoding, bool]]) -> list[Tree]:
        """The trees behind some pictures (True: behind what they are held against), made where they are not held."""
        keys = [_tree_key(*each) for each in wanted]
        for key, (encoding, _) in zip(keys, wanted, strict=True):
            if key in self._trees:
                self._trees[key] = self._trees.pop(key)  # used last
                if key in self._adopted:
                    self._adopted.discard(key)
                    self.cost.add(encoding.reference_inputs[self.vlm.family.row].shape[1])
        for key, (encoding, reference) in zip(keys, wanted, strict=True):
            if key in self._trees:
                continue
            # The old one is let go first: there may be no room for two.
            held = [other for other in self._trees if other.reference == reference]
            for other in held[: max(0, len(held) + 1 - self.pictures)]:
                del self._trees[other]
            inputs = encoding.reference_inputs if reference else encoding.prompt_inputs
            stem = _stem(encoding, key)
            self.vlm.check_length(encoding.prompt_length, len(encoding.response_ids))
            with self._meter.measuring(encoding.prompt_length + len(stem)):
                self._trees[key] = Tree(self.vlm, inputs, stem, self.cost)
        return [self._trees[key] for key in keys]

    def _side_by_side(self, wanted: Sequence[tuple[Encoding, bool]]) -> Iterable[Sequence[list[int]]]:
        """Indices of what is wanted, as for `_grown`, by tree; as many trees at a time as are held."""
        groups: dict[_Key, list[int]] = defaultdict(list)
        for index, each in enumerate(wanted):
            groups[_tree_key(*each)].append(index)
        return chunks(list(groups.values()), self.pictures)

    def _nodes(self, encoding: Encoding) -> int:
        """Nodes per forward."""
        if self._budget is None:
            fixed = None if self.batch_size == "auto" else int(self.batch_size)
            self._budget = self._meter.tokens() if fixed is None else fixed * encoding.spoken
        return self._budget

    def _in_memory(self, job: Callable[[Sequence], list], groups: Sequence) -> list:
        """The job's result for each group.

        Where memory runs out it is done again from the start: with one picture at a time, and if that was so already,
        in forwards of half the size.
        """
        while True:
            try:
                return job(groups)
            except (torch.OutOfMemoryError, RuntimeError) as error:
                if not is_out_of_memory(error) or (self.pictures == 1 and (self._budget or 1) < 2):
                    raise
            # Outside of the handler, which would keep alive what filled the memory.
            self._trees.clear()
            gc.collect()
            if self.vlm.model.device.type == "cuda":
                torch.cuda.empty_cache()
            if self.pictures > 1:
                self.pictures = 1
                return [result for group in groups for result in self._in_memory(job, [group])]
            self._budget = (self._budget or 2) // 2


def _logprobs_of(tree: Tree, nodes: Sequence[Node], budget: int) -> Generator[TreeRequest, Tensor, dict[Node, float]]:
    """Log-probability of each node given its path. A task of `engine.together`."""
    behind: dict[Node, list[Node]] = defaultdict(list)
    for node in nodes:
        behind[node.before].append(node)
    logprob: dict[Node, float] = {}

    def note(parents: Sequence[Node], logits_NV: Tensor) -> None:
        pairs = [(row, node) for row, parent in enumerate(parents) for node in behind[parent]]
        values = gather_logprobs(logits_NV, [row for row, _ in pairs], [node.token for _, node in pairs])
        logprob.update(zip((node for _, node in pairs), values, strict=True))

    unknown = []
    for parent in behind:
        logits_V = tree.known(parent)
        if logits_V is None:
            unknown.append(parent)
        else:
            note([parent], logits_V[None])
    again = [parent for parent in unknown if parent.place is not None]
    for piece in chunks(again, budget):
        note(piece, (yield TreeRequest(tree, (), piece)))
    for forward in forwards(tree, [parent for parent in unknown if parent.place is None], budget):
        parents = [node for node in forward if node in behind]
        note(parents, (yield TreeRequest(tree, forward, parents)))
    return logprob


def _scans_of(
    tree: Tree, responses: Sequence[tuple[int, ...]], budget: int, read: ReadsLogits
) -> Generator[TreeRequest, Tensor, list[tuple[np.ndarray, np.ndarray]]]:
    """What `read` makes of each response, whose logits are read as they come: those of all may be large.

    A task of `engine.together`.
    """
    paths = [[tree.root, *tree.path(Continuation(ids))] for ids in responses]
    behind: dict[Node, dict[int, None]] = defaultdict(dict)
    for path in paths:
        for node, following in itertools.pairwise(path):
            behind[node][following.token] = None
    values: dict[tuple[Node, int], tuple[float, float]] = {}

    def note(nodes: Sequence[Node], logits_NV: Tensor) -> None:
        pairs = [(row, node, token) for row, node in enumerate(nodes) for token in behind[node]]
        for some in chunks(pairs, 64):
            found = read(logits_NV[[row for row, _, _ in some]].float(), tuple(token for _, _, token in some))
            values.update(zip((pair[1:] for pair in some), zip(*found, strict=True), strict=True))

    known = {node: logits_V for node in behind if (logits_V := tree.known(node)) is not None}
    if known:
        note(list(known), torch.stack(list(known.values())))
    asked = [node for node in behind if node not in known]
    forward = [*unplaced(asked), *(node for node in asked if node.place is not None)]
    for piece in chunks(forward, budget):
        wanted = [node for node in piece if node in behind]
        note(wanted, (yield TreeRequest(tree, [node for node in piece if node.place is None], wanted)))
    both = [[values[node, following.token] for node, following in itertools.pairwise(path)] for path in paths]
    return [(np.array([one for one, _ in of]), np.array([other for _, other in of])) for of in both]


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
                spine.append(max(below[spine[-1]], key=lambda node: size[node]))
            yield from map(list, chunks(spine, budget))
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


class _Key(NamedTuple):
    """What a tree's keys and values depend on.

    reference: whether it stands behind the reference image
    seen:    the picture, or what is left of it
    prompt:  not its text: the same words may stand in another conversation
    of_any_picture: of a size
    """

    reference: bool
    seen: object
    prompt: tuple
    of_any_picture: bool


def _tree_key(encoding: Encoding, reference: bool) -> _Key:
    record = encoding.picture.record
    # One colour is the same for all pictures of a size.
    of_size = reference and encoding.against == "colour"
    seen = (record["width"], record["height"]) if of_size else record["sha256"]
    return _Key(reference, seen, encoding.prompt_key, of_size)


def _stem(encoding: Encoding, key: _Key) -> tuple[int, ...]:
    """The text that is read together with the prompt: none where the tree may serve other pictures' captions."""
    return () if key.of_any_picture else encoding.response_ids

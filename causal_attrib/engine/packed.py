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
from causal_attrib.engine.device import moved
from causal_attrib.engine.node import NONE, ROOT, Nodes, concatenated, distinct, ranges
from causal_attrib.engine.together import run
from causal_attrib.engine.tree import Tree, TreeRequest
from causal_attrib.vlm import Continuation, Encoding

# Rows of logits that are made float32 at once.
_ROWS = 64


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
            path = concatenated([np.array([ROOT]), tree.path(Continuation(encoding.response_ids))])
            return run([tree.expect(path[:-1], self._nodes(encoding))], self._nodes(encoding))

        (logits_TV,) = self._in_memory(look, [encoding])
        return logits_TV

    def scan_rows(self, encoding: Encoding, rows: Sequence[tuple[int, ...]]) -> list[Tensor]:
        def look(groups: Sequence[Encoding]) -> list[Tensor]:
            (tree,) = self._grown([(encoding, False)])
            root = np.array([ROOT])
            paths = [concatenated([root, tree.path(Continuation(ids))])[:-1] for ids in rows]
            budget = self._nodes(encoding)
            (logits_NV,) = run([tree.expect(concatenated(paths), budget)], budget)
            tree.cut(tree.read)
            return list(logits_NV.split([len(path) for path in paths]))

        for ids in rows:
            self.vlm.check_length(encoding.prompt_length, len(ids))
        return self._in_memory(look, [encoding])

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
                nodes = Nodes()
                stem = nodes.spell(Continuation(_stem(encoding, key)))
                total += -len(stem) if key in self._trees else encoding.prompt_length
                trees[key] = nodes, [stem]
            nodes, paths = trees[key]
            # What is read last is only looked up behind the token before it.
            paths.append(nodes.spell(row)[: max(place - 1, 0)])
        return total + sum(len(np.unique(concatenated(paths))) for _, paths in trees.values())

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
            wanted.append([tree.path(request.row)[list(request.places)] for request in some])
            tasks.append(_logprobs_of(tree, distinct(concatenated(wanted[-1])), budget))
        before = [len(tree.cached) for tree in trees]
        found = run(tasks, budget)
        answers = []
        for tree, (nodes, logprobs), of_tree in zip(trees, found, wanted, strict=True):
            logprob_N = np.empty(len(tree.nodes), np.float32)
            logprob_N[nodes] = logprobs
            answers.append([torch.from_numpy(logprob_N[of_request]) for of_request in of_tree])
        for tree, count in zip(trees, before, strict=True):
            tree.cut(count if self._holds else tree.read)
        return answers

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


def _logprobs_of(
    tree: Tree, nodes: np.ndarray, budget: int
) -> Generator[TreeRequest, Tensor, tuple[np.ndarray, np.ndarray]]:
    """The nodes, which are distinct, and the log-probability of each given its path. A task of `engine.together`."""
    wanted = _Wanted(tree, nodes)
    parents = wanted.parents
    # They stay on the device until all are there: a GPU would stop at each forward to hand them over.
    tokens, found = [np.empty(0, np.int64)], [tree.prefix.logits_TV.new_empty(0)]

    def note(parents: np.ndarray, logits_NV: Tensor) -> None:
        row_P, token_P = wanted.behind(parents)
        tokens.append(token_P)
        found.append(gather_logprobs(logits_NV, row_P, tree.nodes.token_N[nodes[token_P]]))

    is_known = tree.is_known(parents)
    for known in chunks(parents[is_known], _ROWS):
        note(known, tree.known(known))
    unknown = parents[~is_known]
    is_placed = tree.nodes.place_N[unknown] != NONE
    for piece in chunks(unknown[is_placed], budget):
        note(piece, (yield TreeRequest(tree, piece[:0], piece)))
    is_parent_N = np.zeros(len(tree.nodes), bool)
    is_parent_N[unknown] = True
    for forward in forwards(tree, unknown[~is_placed], budget):
        behind = forward[is_parent_N[forward]]
        note(behind, (yield TreeRequest(tree, forward, behind)))
    logprobs = np.empty(len(nodes), np.float32)
    logprobs[np.concatenate(tokens)] = torch.cat(found).cpu().numpy()
    return nodes, logprobs


class _Wanted:
    """Tokens whose probability is wanted, by the node that stands before them.

    nodes:   the tokens, which are distinct
    parents: what stands before them, each once
    """

    def __init__(self, tree: Tree, nodes: np.ndarray):
        self.nodes = nodes
        parent_of = tree.nodes.parent_N[nodes]
        self.parents = distinct(parent_of)
        self._by_parent = parent_of.argsort(kind="stable")
        self._sorted = parent_of[self._by_parent]

    def behind(self, parents: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """All pairs of one of `parents` and a token behind it, as indices into `parents` and into `nodes`."""
        starts = np.searchsorted(self._sorted, parents)
        lengths = np.searchsorted(self._sorted, parents, side="right") - starts
        return np.arange(len(parents)).repeat(lengths), self._by_parent[ranges(starts, lengths)]


def _scans_of(
    tree: Tree, responses: Sequence[tuple[int, ...]], budget: int, read: ReadsLogits
) -> Generator[TreeRequest, Tensor, list[tuple[np.ndarray, np.ndarray]]]:
    """What `read` makes of each response, whose logits are read as they come: those of all may be large.

    A task of `engine.together`.
    """
    paths = [tree.path(Continuation(ids)) for ids in responses]
    wanted = _Wanted(tree, distinct(concatenated(paths)))
    values_2 = np.empty((2, len(wanted.nodes)))

    def note(parents: np.ndarray, logits_NV: Tensor) -> None:
        row_P, token_P = wanted.behind(parents)
        for rows, tokens in zip(chunks(row_P, _ROWS), chunks(token_P, _ROWS), strict=True):
            ids = tuple(tree.nodes.token_N[wanted.nodes[tokens]].tolist())
            values_2[:, tokens] = read(logits_NV[moved(rows, logits_NV.device)].float(), ids)

    is_known = tree.is_known(wanted.parents)
    for known in chunks(wanted.parents[is_known], _ROWS):
        note(known, tree.known(known))
    asked = wanted.parents[~is_known]
    is_asked_N = np.zeros(len(tree.nodes), bool)
    is_asked_N[asked] = True
    forward = concatenated([tree.nodes.unplaced(asked), asked[tree.nodes.place_N[asked] != NONE]])
    for piece in chunks(forward, budget):
        behind = piece[is_asked_N[piece]]
        note(behind, (yield TreeRequest(tree, piece[tree.nodes.place_N[piece] == NONE], behind)))
    index_N = np.empty(len(tree.nodes), np.int64)
    index_N[wanted.nodes] = np.arange(len(wanted.nodes))
    return [(values_2[0, index_N[path]], values_2[1, index_N[path]]) for path in paths]


def forwards(tree: Tree, wanted: np.ndarray, budget: int) -> Iterator[np.ndarray]:
    """Pack nodes that are not in the cache, and all that they hang on, into forwards of at most `budget` nodes.

    Each forward is to be run before the next is asked for; the cache is cut in between. Subtrees that fit are put
    through whole and forgotten. Of one that does not, the path through its larger halves stays in the cache while what
    hangs on it is packed in turn.
    """
    if not len(wanted):
        return
    nodes = tree.nodes.unplaced(wanted)
    forest = _Forest(nodes, tree.nodes)

    def pack(tops: np.ndarray) -> Iterator[np.ndarray]:
        mark, room, filled = len(tree.cached), list[np.ndarray](), 0
        size = forest.size_N[tops]
        for top, its_size in zip(tops[size <= budget].tolist(), size[size <= budget].tolist(), strict=True):
            if filled + its_size > budget:
                yield nodes[np.concatenate(room)]
                tree.cut(mark, prune=False)
                room, filled = [], 0
            room.append(forest.subtree(top))
            filled += its_size
        if room:
            yield nodes[np.concatenate(room)]
            tree.cut(mark, prune=False)
        for top in tops[size > budget].tolist():
            spine = forest.spine(top)
            yield from chunks(nodes[spine], budget)
            yield from pack(forest.beside(spine))
            tree.cut(mark, prune=False)

    yield from pack(forest.tops)


class _Forest:
    """Nodes, each behind its parent, by their index among them: subtrees, and paths through the larger halves.

    size_N: how many nodes each has below it, itself counted
    tops:   those whose parent is not among them
    """

    def __init__(self, nodes: np.ndarray, all_nodes: Nodes):
        count = len(nodes)
        index_of = np.full(len(all_nodes), -1, np.int32)
        index_of[nodes] = np.arange(count, dtype=np.int32)
        up_N, depth_N = index_of[all_nodes.parent_N[nodes]], all_nodes.depth_N[nodes]
        del index_of
        self.tops = np.flatnonzero(up_N < 0)
        by_depth = depth_N.argsort(kind="stable")
        levels = np.split(by_depth, np.flatnonzero(np.diff(depth_N[by_depth])) + 1)
        self.size_N = np.ones(count, np.int32)
        for level in reversed(levels):
            inner = level[up_N[level] >= 0]
            np.add.at(self.size_N, up_N[inner], self.size_N[inner])

        # Children of one node beside one another, in order; first of all the tops.
        self._children = up_N.argsort(kind="stable")
        self._start = np.searchsorted(up_N[self._children], np.arange(count + 1))
        by_size = np.lexsort((-self.size_N, up_N))
        parents = np.flatnonzero(np.diff(self._start))
        heavy_N = np.full(count, -1, np.int32)
        heavy_N[parents] = by_size[self._start[parents]]
        self._heavy = heavy_N

        # A subtree is put through its last child first.
        last_first = self._children[::-1]
        before = self.size_N[last_first].cumsum(dtype=np.int64) - self.size_N[last_first]
        group = up_N[last_first]
        is_new = np.diff(group, prepend=count) != 0
        before -= np.maximum.accumulate(np.where(is_new, before, 0))
        self._at = np.empty(count, np.int64)
        self._at[last_first] = before
        for level in levels:
            inner = level[up_N[level] >= 0]
            self._at[inner] += self._at[up_N[inner]] + 1
        self._in_order = np.empty(count, np.int32)
        self._in_order[self._at] = np.arange(count, dtype=np.int32)

    def subtree(self, top: int) -> np.ndarray:
        at = self._at[top]
        return self._in_order[at : at + self.size_N[top]]

    def spine(self, top: int) -> np.ndarray:
        """The path from a node on, through its largest child each time."""
        found = [top]
        while (child := int(self._heavy[found[-1]])) >= 0:
            found.append(child)
        return np.array(found)

    def beside(self, spine: np.ndarray) -> np.ndarray:
        """What hangs on a spine."""
        starts = self._start[spine]
        children = self._children[ranges(starts, self._start[spine + 1] - starts)]
        return children[~np.isin(children, spine)]


def gather_logprobs(logits_NV: Tensor, rows: np.ndarray, tokens: np.ndarray) -> Tensor:
    """log softmax of `logits_NV` at (row, token), in float32, for each pair."""
    if not len(rows):
        return logits_NV.new_empty(0, dtype=torch.float32)
    row_P, token_P = (moved(each, logits_NV.device) for each in (rows, tokens))
    # In slices: a copy of all logits may be the largest thing in memory.
    normaliser_N = torch.cat([part_NV.float().logsumexp(-1) for part_NV in logits_NV.split(_ROWS)])
    return logits_NV[row_P, token_P].float() - normaliser_N[row_P]


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

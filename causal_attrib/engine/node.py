"""The tokens of all texts behind one prompt, as a tree in arrays: a node is a number, and the root is 0.

A caption of T tokens with each hidden in turn has T * (T + 1) / 2 nodes. As objects those of a long one took seconds
and hundreds of megabytes; as arrays they take 21 bytes each, and what is done to them is done to many at once. Nodes
that were made as one text are numbered one behind the other, each the child of that before it: a run.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from causal_attrib.vlm import Continuation

ROOT = 0
# No token, no key in the cache, no parent.
NONE = -1
# What an embedding is replaced with, by number; 0 is a token as it is.
FILLS = ("", "zero", "mean")
_LARGEST = np.iinfo(np.int32).max


class Nodes:
    """The nodes, each one token of some text.

    Axis N is the nodes:

    token_N:  ids, `NONE` where the embedding is replaced
    fill_N:   what with (`FILLS`)
    parent_N: the token before; always a smaller number
    depth_N:  how many tokens behind the prompt; the root is at -1, the first token at 0
    place_N:  index of the key in the cache, `NONE` while there is none
    first_N:  first node of the run
    """

    _names = ("token_N", "fill_N", "parent_N", "depth_N", "place_N", "first_N")

    def __init__(self) -> None:
        self.count = 0
        self.token_N = self.parent_N = self.depth_N = self.place_N = self.first_N = np.empty(0, np.int32)
        self.fill_N = np.empty(0, np.int8)
        # The first node of each run but the root's, by what it stands behind, its token and its fill.
        self._runs: dict[tuple[int, int, int], int] = {}
        self._append(NONE, np.array([NONE], np.int32), np.zeros(1, np.int8))
        self.depth_N[ROOT] = -1

    def __len__(self) -> int:
        return self.count

    def spell(self, row: Continuation) -> np.ndarray:
        """The nodes (T,) of a row's tokens, made where they are new."""
        token_T, fill_T = np.array(row.ids, np.int32), np.zeros(len(row.ids), np.int8)
        if row.hidden:
            # Nobody sees which token is hidden.
            token_T[list(row.hidden)], fill_T[list(row.hidden)] = NONE, FILLS.index(row.fill)
        path_T = np.empty(len(token_T), np.int32)
        node, at = ROOT, 0
        while at < len(token_T):
            child = self._find(node, int(token_T[at]), int(fill_T[at]))
            if child is None:
                new = self._append(node, token_T[at:], fill_T[at:])
                path_T[at:] = np.arange(new, self.count)
                break
            ahead = slice(child, min(child + len(token_T) - at, self.count))
            here = slice(at, at + ahead.stop - child)
            same = (self.token_N[ahead] == token_T[here]) & (self.fill_N[ahead] == fill_T[here])
            same &= self.first_N[ahead] == self.first_N[child]
            length = len(same) if same.all() else int(same.argmin())
            path_T[at : at + length] = np.arange(child, child + length)
            node, at = child + length - 1, at + length
        return path_T

    def child(self, node: int, token: int) -> int:
        """The node of a token behind another node, made if it is new."""
        found = self._find(node, token, 0)
        return self._append(node, np.array([token], np.int32), np.zeros(1, np.int8)) if found is None else found

    def unplaced(self, wanted: np.ndarray) -> np.ndarray:
        """These nodes and those above them that have no key: each behind its parent, where it is first needed."""
        parents = self.parent_N[wanted]
        if ((self.place_N[parents] >= 0) | (parents == ROOT)).all():
            return wanted[self.place_N[wanted] < 0]
        rank_N = np.full(self.count, _LARGEST, np.int32)
        rank_N[wanted[::-1]] = np.arange(len(wanted), dtype=np.int32)[::-1]
        starts = np.fromiter(self._runs.values(), np.int64, len(self._runs))
        open_ = np.logical_or.reduceat(self.place_N[: self.count] < 0, starts)
        ends = np.append(starts[1:], self.count)
        # A node is needed as soon as one below it is, and what is below has the greater number.
        for start, end in zip(starts[open_][::-1].tolist(), ends[open_][::-1].tolist(), strict=True):
            backwards = rank_N[start:end][::-1]
            np.minimum.accumulate(backwards, out=backwards)
            parent = self.parent_N[start]
            rank_N[parent] = min(rank_N[parent], rank_N[start])
        rank_N[ROOT] = _LARGEST
        needed = np.flatnonzero((rank_N < _LARGEST) & (self.place_N[: self.count] < 0))
        return needed[np.lexsort((self.depth_N[needed], rank_N[needed]))]

    def above(self, nodes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """All pairs of a node and one above it, but for the root: indices into `nodes`, and nodes."""
        index, upper = np.arange(len(nodes)), self.parent_N[nodes]
        indices, ancestors = [], []
        while (going := upper > ROOT).any():
            index, upper = index[going], upper[going]
            first = self.first_N[upper]
            length = upper - first + 1
            indices.append(index.repeat(length))
            ancestors.append(ranges(first, length))
            upper = self.parent_N[first]
        if not indices:
            return np.empty(0, int), np.empty(0, int)
        return np.concatenate(indices), np.concatenate(ancestors)

    def forget(self, last: int) -> None:
        """Forget every node behind number `last`."""
        self.count = last + 1
        for name in self._names:
            setattr(self, name, getattr(self, name)[: self.count].copy())
        while self._runs and next(reversed(self._runs.values())) > last:
            self._runs.popitem()

    def _find(self, node: int, token: int, fill: int) -> int | None:
        following = node + 1
        if (
            following < self.count
            and self.parent_N[following] == node
            and self.token_N[following] == token
            and self.fill_N[following] == fill
        ):
            return following
        return self._runs.get((node, token, fill))

    def _append(self, parent: int, token_T: np.ndarray, fill_T: np.ndarray) -> int:
        """A new run; returns its first node."""
        start, end = self.count, self.count + len(token_T)
        if end > len(self.token_N):
            for name in self._names:
                old = getattr(self, name)
                new = np.empty(max(end, len(old) + len(old) // 4, 64), old.dtype)
                new[:start] = old[:start]
                setattr(self, name, new)
        made = slice(start, end)
        self.token_N[made], self.fill_N[made], self.place_N[made], self.first_N[made] = token_T, fill_T, NONE, start
        self.parent_N[made] = np.arange(start - 1, end - 1)
        self.parent_N[start] = parent
        depth = 0 if parent == NONE else int(self.depth_N[parent]) + 1
        self.depth_N[made] = np.arange(depth, depth + len(token_T))
        if parent != NONE:
            self._runs[parent, int(token_T[0]), int(fill_T[0])] = start
        self.count = end
        return start


def ranges(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """The numbers from each start on, as many as its length says, one range behind the other.

    >>> ranges(np.array([3, 10]), np.array([2, 3])).tolist()
    [3, 4, 10, 11, 12]
    """
    ends = lengths.cumsum()
    return np.arange(ends[-1] if len(ends) else 0) + (starts - (ends - lengths)).repeat(lengths)


def distinct(nodes: np.ndarray) -> np.ndarray:
    """Each of them once, in the order in which they first come.

    >>> distinct(np.array([7, 2, 7, 5])).tolist()
    [7, 2, 5]
    """
    return nodes[np.sort(np.unique(nodes, return_index=True)[1])]


def concatenated(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """One array of all, also of none."""
    return np.concatenate([np.empty(0, np.int32), *arrays])

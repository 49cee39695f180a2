"""A token of some text, in the tree of all texts behind one prompt."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from causal_attrib.vlm import Continuation


@dataclass(eq=False)
class Node:
    """One token of some text.

    token:    its id
    fill:     what its embedding is replaced with ("zero", "mean"), or None
    parent:   the token before it; the root has none
    depth:    how many tokens behind the prompt it stands: the root is at -1, the first token at 0
    place:    index of its key in the cache, None while it has none
    children: by token and fill
    """

    token: int
    fill: str | None
    parent: Node | None
    depth: int
    place: int | None = None
    children: dict[tuple[int, str | None], Node] = field(default_factory=dict)

    @property
    def before(self) -> Node:
        """The token before it, of any node but the root."""
        assert self.parent is not None
        return self.parent

    def child(self, token: int, fill: str | None = None) -> Node:
        """The node behind this one, made if it is new."""
        if (token, fill) not in self.children:
            self.children[token, fill] = Node(token, fill, self, self.depth + 1)
        return self.children[token, fill]


def spell(root: Node, row: Continuation) -> list[Node]:
    """The nodes of a row's tokens, made where they are new."""
    hidden, nodes, node = set(row.hidden), [], root
    for place, token in enumerate(row.ids):
        # Nobody sees which token is hidden.
        node = node.child(-1, row.fill) if place in hidden else node.child(token)
        nodes.append(node)
    return nodes


def unplaced(nodes: Iterable[Node]) -> list[Node]:
    """These nodes and those above them, as far as they are not in the cache, each behind its parent."""
    found: dict[Node, None] = {}
    for node in nodes:
        path = []
        while node.parent is not None and node.place is None and node not in found:
            path.append(node)
            node = node.parent
        found.update(dict.fromkeys(reversed(path)))
    return list(found)


def above(node: Node) -> Iterator[Node]:
    """The tokens before a node, nearest first, without the root."""
    earlier = node.parent
    while earlier is not None and earlier.parent is not None:
        yield earlier
        earlier = earlier.parent

"""Maps on a terminal: a row per map, with where it points and how much speaks for and against the word."""

from __future__ import annotations

import numpy as np
from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from causal_attrib.results.maps import Maps
from causal_attrib.views import drawing
from causal_attrib.views.overlay import described

_ACROSS = ("left", "middle", "right")
_DOWN = ("upper", "middle", "lower")
_PROOF = Text.assemble(
    ("proof    ", "bold"),
    "deletion: what is left of the word as the map's highest cells go first (low is good); insertion: what is there as "
    "they come first (high is good); random: 90 % of orders at random, for both; edges: an edge detector's two; "
    "shuffled: how alike the map of a model that knows nothing is; signs: cells whose sign hangs on the baseline",
)


def saliency_table(maps: Maps, known: tuple[dict, ...] | None = None) -> Group:
    """A rich renderable of maps, and of their proofs where they have them.

    Args:
        known: of each map, whether it finds an object (`evaluation.localisation`): hit, mass, area, mass_above_area.
    """
    rows = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    rows.add_column("word", overflow="fold", min_width=5)
    for heading in ("highest", "where", "for", "against"):
        rows.add_column(heading, justify="left" if heading == "where" else "right", no_wrap=True)
    for heading in ("on the object", "mass - area") if known else ():
        rows.add_column(heading, justify="right", no_wrap=True)
    for t, label in enumerate(maps.labels):
        map_HW = maps.values_THW[t]
        figures = [
            drawing.number(float(map_HW.max()), 2),
            place(map_HW),
            drawing.number(float(np.maximum(map_HW, 0).sum()), 2),
            drawing.number(float(np.minimum(map_HW, 0).sum()), 2),
        ]
        if known:
            above = known[t]["mass_above_area"]
            figures += ["yes" if known[t]["hit"] else "no", "-" if above is None else drawing.number(above, 2)]
        rows.add_row(Text(drawing.visible(label)), *figures)
    told = Text.assemble(("maps     ", "bold"), drawing.visible(described(maps)), "; in nats")
    return Group(rows, *((_proofs(maps), _PROOF) if maps.proofs else ()), told)


def _proofs(maps: Maps) -> Table:
    """What `evaluation.faithfulness.proof` found of each map."""
    rows = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    rows.add_column("word", overflow="fold", min_width=5)
    for heading in ("deletion", "insertion", "random", "edges", "shuffled", "signs"):
        rows.add_column(heading, justify="right", no_wrap=True)
    rows.add_column("verdict")
    for label, proof in zip(maps.labels, maps.proofs, strict=True):
        rows.add_row(
            Text(drawing.visible(label)),
            _share(proof["deletion"]),
            _share(proof["insertion"]),
            f"{_share(proof['random_low'])} to {_share(proof['random_high'])}",
            f"{_share(proof['edges_deletion'])}, {_share(proof['edges_insertion'])}",
            _share(proof["shuffled_similarity"]),
            f"{proof['sign_disagreement']:.0%}",
            f"{proof['verdict']} (p = {proof['p']:.2f})",
        )
    return rows


def _share(value: float | None) -> str:
    return "-" if value is None else drawing.number(value, 2)


def place(map_HW: np.ndarray) -> str:
    """In which ninth of the picture a map is highest, or "nowhere" for a map without a positive value.

    >>> place(np.eye(3)[::-1] * np.array([1, 2, 3])), place(np.zeros((2, 2)))
    ('upper right', 'nowhere')
    """
    if map_HW.max() <= 0:
        return "nowhere"
    row, column = np.unravel_index(map_HW.argmax(), map_HW.shape)
    height, width = map_HW.shape
    down, across = _DOWN[int(3 * (row + 0.5) / height)], _ACROSS[int(3 * (column + 0.5) / width)]
    return "centre" if down == across == "middle" else f"{down} {across}"

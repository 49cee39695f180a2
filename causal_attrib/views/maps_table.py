"""Maps on a terminal: a row per map, with where it points and how much speaks for and against the word."""

from __future__ import annotations

import numpy as np
from rich.console import Group
from rich.text import Text

from causal_attrib.results.maps import Maps
from causal_attrib.views import drawing
from causal_attrib.views.narrow import Column, Narrowed
from causal_attrib.views.overlay import described

_ACROSS = ("left", "middle", "right")
_DOWN = ("upper", "middle", "lower")
# What is left out first on a narrow terminal stands first.
_DROPPED = ("signs", "edges", "shuffled", "random", "insertion", "deletion", "against", "for")
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
    of_each = maps.values_THW
    columns = [
        _words(maps),
        Column("highest", [drawing.number(float(map_HW.max()), 2) for map_HW in of_each]),
        Column("where", [place(map_HW) for map_HW in of_each], is_text=True),
        Column("for", [drawing.number(float(np.maximum(map_HW, 0).sum()), 2) for map_HW in of_each]),
        Column("against", [drawing.number(float(np.minimum(map_HW, 0).sum()), 2) for map_HW in of_each]),
    ]
    if known:
        columns += [
            Column("on the object", ["yes" if one["hit"] else "no" for one in known]),
            Column("mass - area", [_share(one["mass_above_area"]) for one in known]),
        ]
    rows = Narrowed(columns, _DROPPED, "saliency.json has all")
    told = Text.assemble(("maps     ", "bold"), drawing.visible(described(maps)), "; in nats")
    return Group(rows, *((_proofs(maps), _PROOF) if maps.proofs else ()), told)


def _proofs(maps: Maps) -> Narrowed:
    """What `evaluation.faithfulness.proof` found of each map."""
    columns = [
        _words(maps),
        Column("verdict", [proof["verdict"] for proof in maps.proofs], is_text=True),
        Column("p", [f"{proof['p']:.2f}" for proof in maps.proofs]),
        Column("deletion", [_share(proof["deletion"]) for proof in maps.proofs]),
        Column("insertion", [_share(proof["insertion"]) for proof in maps.proofs]),
        Column("random", [f"{_share(proof['random_low'])} to {_share(proof['random_high'])}" for proof in maps.proofs]),
        Column(
            "edges", [f"{_share(proof['edges_deletion'])}, {_share(proof['edges_insertion'])}" for proof in maps.proofs]
        ),
        Column("shuffled", [_share(proof["shuffled_similarity"]) for proof in maps.proofs]),
        Column("signs", [f"{proof['sign_disagreement']:.0%}" for proof in maps.proofs]),
    ]
    return Narrowed(columns, _DROPPED, "saliency.json has all")


def _words(maps: Maps) -> Column:
    return Column(
        "word", [Text(drawing.visible(label.strip() or label)) for label in maps.labels], is_text=True, folds=True
    )


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

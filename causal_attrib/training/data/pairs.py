"""Contrastive rows as plain preference pairs, which any DPO trainer takes.

SymMPO (arXiv 2506.11712) compares responses under one picture at a time: of a picture m with its contrastive picture m'
it wants (m: yw > yl), (m: yw > yw') and (m': yw' > yw).
"""

from __future__ import annotations

from collections.abc import Iterable


def contrastive_pairs(row: dict) -> list[dict]:
    """The three pairs of one row, each with `image`, `prompt`, `chosen` and `rejected`.

    >>> row = {"image": "m", "prompt": "x", "chosen": "w", "rejected": "l", "image_contrast": "m'",
    ...        "chosen_contrast": "w'"}
    >>> for pair in contrastive_pairs(row):
    ...     print(pair["image"], pair["chosen"], ">", pair["rejected"])
    m w > l
    m w > w'
    m' w' > w
    """
    here, other = row["chosen"], row["chosen_contrast"]
    pairs = ((row["image"], here, row["rejected"]), (row["image"], here, other), (row["image_contrast"], other, here))
    return [
        {"image": image, "prompt": row["prompt"], "chosen": chosen, "rejected": rejected}
        for image, chosen, rejected in pairs
    ]


def plain_preferences(rows: Iterable[dict]) -> list[dict]:
    """Rows for a plain DPO trainer: three for each contrastive row, in the order of the rows."""
    return [pair for row in rows for pair in contrastive_pairs(row)]

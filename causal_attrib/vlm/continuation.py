"""What follows the prompt in one forward."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Continuation:
    """What follows the prompt in one forward.

    ids:     token ids behind the prompt
    hidden:  indices into `ids` whose input embedding is replaced (position and attention are kept)
    fill:    what a hidden embedding becomes: "zero" or "mean" (the mean of the embedding table)
    reference: show what the user's picture is held against instead
    """

    ids: tuple[int, ...]
    hidden: tuple[int, ...] = ()
    fill: str = "zero"
    reference: bool = False

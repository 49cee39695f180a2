"""What a run takes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Cost:
    """Model calls, and token positions put through the model in them."""

    forwards: int = 0
    positions: int = 0

    def add(self, positions: int, forwards: int = 1) -> None:
        self.forwards += forwards
        self.positions += positions

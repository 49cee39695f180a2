"""What a run takes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Cost:
    """Model calls, and token positions put through the model in them."""

    forwards: int = 0
    positions: int = 0

    def since(self, before: Cost) -> Cost:
        """What was added after the copy `before` was made."""
        return Cost(self.forwards - before.forwards, self.positions - before.positions)

    def add(self, positions: int, forwards: int = 1) -> None:
        self.forwards += forwards
        self.positions += positions

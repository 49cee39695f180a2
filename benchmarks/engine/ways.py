"""Ways of doing a job side by side: checked against the first, then timed in turns."""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable, Sequence

import numpy as np

# Largest difference of the log-probability of an answer that rounding may make (fp32).
TOLERANCE = 1e-4


@dataclasses.dataclass
class Way:
    """One way of doing a job.

    run:   does it, or `share` of it (seconds are divided by that)
    check: gives the largest difference from the first way, in nats, or a string where it is wrong or impossible
    """

    name: str
    run: Callable[[], object]
    check: Callable[[], float | str] = lambda: 0.0
    share: float = 1.0
    seconds: list[float] = dataclasses.field(default_factory=list)
    difference: float | str | None = None

    @property
    def right(self) -> bool:
        return not isinstance(self.difference, str) and self.difference <= TOLERANCE

    @property
    def median(self) -> float | None:
        return statistics.median(self.seconds) / self.share if self.seconds else None

    def record(self) -> dict:
        return {
            "name": self.name,
            "seconds": self.median,
            "rounds": [value / self.share for value in self.seconds],
            "share_measured": self.share,
            "difference": self.difference,
            "right": self.right,
        }


def cpu_seconds(run: Callable[[], object]) -> float:
    began = time.process_time()
    run()
    return time.process_time() - began


def measure(ways: Sequence[Way], repeats: int, patience: float) -> None:
    """Check every way, then time the right ones in turns, so that what else the machine does falls on all alike.

    A way that has taken `patience` seconds is not run again.
    """
    for way in ways:
        try:
            way.difference = way.check()
        except Exception as error:  # a peer may fail in any way it likes; that is a result
            way.difference = f"{type(error).__name__}: {str(error).splitlines()[0][:120]}"
    for _ in range(repeats):
        for way in ways:
            if way.right and sum(way.seconds) < patience:
                way.seconds.append(cpu_seconds(way.run))


def largest(found, right) -> float:
    return float(np.nanmax(np.abs(np.asarray(found) - np.asarray(right))))

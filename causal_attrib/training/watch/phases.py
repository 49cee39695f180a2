"""Where the time and the memory of a training step go: sampling, rewards, scores, update.

Phases lie within one another (rewards are taken within what TRL calls generation), and each second counts for the
innermost.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import torch

SAMPLE, REWARD, SCORE, UPDATE, REST = "sample completions", "rewards", "scores", "update", "data and bookkeeping"


class PhaseClock:
    """Seconds and memory of each phase.

    Attributes:
        seconds: of each phase so far.
        peak: bytes of each phase at most; on a CPU those of the process at the end of the phase.
        failed: the innermost phase that an error came out of.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.peak: dict[str, int] = defaultdict(int)
        self.failed: str | None = None
        self._open = [REST]
        self._since = time.perf_counter()

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        self.read()
        self._open.append(name)
        try:
            yield
        except BaseException:
            self.failed = self.failed or name
            raise
        finally:
            self.read()
            self._open.pop()

    def read(self) -> None:
        """Count what has passed for the phase that is open."""
        if torch.cuda.is_available() and self.failed is None:
            torch.cuda.synchronize()
        now, name = time.perf_counter(), self._open[-1]
        self.seconds[name] += now - self._since
        self.peak[name] = max(self.peak[name], _memory())
        self._since = now

    def note(self, logs: dict[str, float]) -> None:
        """Add to a line of the log the seconds of each phase since the last one; not to that of an evaluation."""
        if "loss" not in logs:
            return
        self.read()
        logs |= {f"seconds/{name.split()[0]}": seconds for name, seconds in self.seconds.items()}
        self.seconds.clear()


def _memory() -> int:
    if not torch.cuda.is_available():
        return psutil.Process().memory_info().rss
    peak = torch.cuda.max_memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    return peak

"""Several processes that score groups of captions side by side, one for each device of a machine.

What a worker has not finished when it is killed is done again by the one that takes its place. Results are as those of
one process: numbers do not depend on who scores a group, nor on which came before.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from causal_attrib.batch.caption_rows import CaptionRow
from causal_attrib.batch.scorer import Scorer
from causal_attrib.errors import InputError
from causal_attrib.io.journalled import REASON

# The record of the model (None where none was reached), the key of a group, and what came of its rows.
Result = tuple[dict | None, str, list[dict]]
Groups = Mapping[str, Sequence[CaptionRow]]

# A group whose worker died so often is what kills them.
MOST_DEATHS = 3
# Groups that a worker has: one at work, one that it begins with at once after it.
_AHEAD = 2
# What a worker takes besides its weights, which are held twice while they are read.
_BASE_BYTES = 1.5e9

_scorer: Scorer | None = None


def in_this_process(scorer: Scorer, groups: Groups) -> Iterator[Result]:
    """One group after the other."""
    for key, outcomes in scorer.score_groups(groups):
        yield scorer.record, key, outcomes


def in_processes(make: Callable[[], Scorer], groups: Groups, count: int) -> Iterator[Result]:
    """`count` workers share the groups.

    Args:
        make: makes the scorer of a worker; it is pickled.

    Raises:
        InputError: no model can be loaded.
    """
    left = deque(groups.items())
    deaths: Counter[str] = Counter()
    crew = [_Worker(make, number, count) for number in range(min(count, len(left)))]
    try:
        while left or any(worker.has for worker in crew):
            for worker in crew:
                while left and len(worker.has) < _AHEAD:
                    worker.take(*left.popleft())
            wait([future for worker in crew for future in worker.has], return_when=FIRST_COMPLETED)
            for worker in crew:
                while worker.has and (first := next(iter(worker.has))).done():
                    try:
                        record, outcomes = first.result()
                    except BrokenProcessPool:
                        given_back = worker.restart()
                        key, group = given_back[0]
                        deaths[key] += 1
                        if deaths[key] == MOST_DEATHS:
                            yield None, *_lost(*given_back.pop(0))
                        left.extendleft(reversed(given_back))
                        break
                    key, _ = worker.has.pop(first)
                    yield record, key, outcomes
    finally:
        for worker in crew:
            worker.pool.shutdown(wait=False, cancel_futures=True)


def suited(model: str | None) -> int:
    """How many workers a machine is good for: its GPUs; without any, as many as cores and memory allow."""
    if Path("/proc/driver/nvidia").exists() or os.environ.get("CUDA_VISIBLE_DEVICES"):
        import torch

        if torch.cuda.is_available():
            return torch.cuda.device_count()
    weights = _weight_bytes(model)
    if weights is None:
        return 1  # which is always right, if slow
    free = _free_bytes()
    room = len(cores()) if free is None else int(0.8 * free / (_BASE_BYTES + 2 * weights))
    return max(1, min(len(cores()), room))


def cores() -> Sequence[int]:
    """The cores that this process may use."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)


class _Worker:
    """A process of its own, and the groups it has, the one at work first."""

    def __init__(self, make: Callable[[], Scorer], number: int, of: int):
        self._make, self._place = make, (number, of)
        self.has: dict[Future, tuple[str, Sequence[CaptionRow]]] = {}
        self.pool = self._begin()

    def take(self, key: str, group: Sequence[CaptionRow]) -> None:
        try:
            future = self.pool.submit(_score, self._make, group)
        except BrokenProcessPool:  # died while it had nothing to do
            self.pool = self._begin()
            future = self.pool.submit(_score, self._make, group)
        self.has[future] = key, group

    def restart(self) -> list[tuple[str, Sequence[CaptionRow]]]:
        """Another process in place of one that died. Gives back what it had."""
        had, self.has = list(self.has.values()), {}
        self.pool.shutdown(wait=False, cancel_futures=True)
        self.pool = self._begin()
        return had

    def _begin(self) -> ProcessPoolExecutor:
        # Never a fork: of a process in which torch has threads, it hangs.
        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(1, mp_context=context, initializer=_begin, initargs=self._place)


def _begin(number: int, of: int) -> None:
    """Make a process a worker: give it its device, or its share of the cores."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the one that began it is told, and lets it go
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    devices = visible.split(",") if visible else []
    os.environ["CUDA_VISIBLE_DEVICES"] = devices[number % len(devices)] if devices else str(number)
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, len(cores()) // of)))


def _score(make: Callable[[], Scorer], group: Sequence[CaptionRow]) -> tuple[dict, list[dict]]:
    global _scorer
    if _scorer is None:
        _scorer = make()
        gc.freeze()  # as in `Scorer.score_groups`, for ever
    return _scorer.record, _scorer.score(group)


def _lost(key: str, group: Sequence[CaptionRow]) -> tuple[str, list[dict]]:
    reason = (
        f"the worker process ended {MOST_DEATHS} times while it scored this caption and those beside it, perhaps for "
        "want of memory"
    )
    return key, [{REASON: reason} for _ in group]


def _weight_bytes(model: str | None) -> int | None:
    """Bytes of the weights of a model that is on this machine."""
    if model in (None, "bundled"):
        from importlib.resources import files

        folder = Path(str(files("causal_attrib") / "assets" / "model"))
    elif Path(str(model)).is_dir():
        folder = Path(str(model))
    else:
        from huggingface_hub import try_to_load_from_cache

        found = try_to_load_from_cache(str(model), "config.json")
        if not isinstance(found, str):
            return None
        folder = Path(found).parent
    sizes = [path.stat().st_size for name in ("*.safetensors", "*.bin") for path in folder.glob(name)]
    return sum(sizes) or None


def _free_bytes() -> float | None:
    """Memory that is free, or what the control group of this process leaves of it."""
    found = []
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        found.append(next(1024.0 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable")))
        limit, used = (Path(f"/sys/fs/cgroup/memory.{name}").read_text().strip() for name in ("max", "current"))
        if limit != "max":
            found.append(float(limit) - float(used))
    except (OSError, StopIteration, ValueError):
        pass
    return min(found, default=None)


def count_of(workers: int | str, model: dict) -> int:
    """The number of workers that `--workers` asks for.

    Raises:
        InputError: it is no number, or there are several and all are to use one device.
    """
    if workers == "auto":
        named = model.get("device", "auto") not in ("auto", "cpu", "cuda") or model.get("device_map") is not None
        return 1 if named else suited(model.get("model"))
    if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
        raise InputError(f"The number of workers is {workers!r}; give a whole number of 1 or more, or auto.")
    if workers > 1 and str(model.get("device") or "").startswith("cuda:"):
        raise InputError(
            f"--device {model['device']} is one device and --workers {workers} want one each; leave --device out, and "
            "say by CUDA_VISIBLE_DEVICES which GPUs there are to take."
        )
    return workers

"""Groups of captions scored by Ray Data: an actor per GPU, or per so many cores, on one machine or many.

A block whose actor dies is done again by Ray; one that is done again gives the same rows, and each is written once.
"""

from __future__ import annotations

import gc
import json
import logging
import pickle
from collections.abc import Callable, Iterator
from typing import Any

from causal_attrib.batch.scorer import Scorer
from causal_attrib.batch.workers import Groups, Result
from causal_attrib.errors import InputError

# Where no address is given: a cluster on this machine, begun and ended with the run.
LOCAL = "local"
# Ray hands out blocks, and does a whole one again; more of them cost more than they save.
_MOST_BLOCKS = 1000


def check_ray() -> None:
    """Raises InputError where Ray is not installed."""
    try:
        import ray.data  # noqa: F401
    except ImportError as error:
        raise InputError(f"--ray needs Ray ({error}); install it with pip install 'copo[ray]'.") from None


def on_ray(
    make: Callable[[], Scorer], groups: Groups, address: str = LOCAL, *, workers: int | None = None, cpus: int = 1
) -> Iterator[Result]:
    """Groups as they are done.

    Args:
        address: of a cluster ("auto" is the one this machine belongs to), or "local".
        workers: how many actors; None is one for each GPU, without any one for each `cpus` cores.
        cpus: cores of an actor where there are no GPUs.

    Raises:
        InputError: no cluster at the address, or one that has no room for an actor.
    """
    check_ray()
    import ray
    import ray.data

    ours = not ray.is_initialized()
    if ours:
        options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
        if address == LOCAL:
            options["include_dashboard"] = False
        try:
            ray.init(address=address, **options)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise InputError(f"There is no Ray cluster at {address} ({error}); begin one with ray start.") from None
    try:
        yield from _scored(make, groups, workers, cpus)
    finally:
        if ours:
            ray.shutdown()


def _scored(make: Callable[[], Scorer], groups: Groups, workers: int | None, cpus: int) -> Iterator[Result]:
    import ray
    import ray.data

    there = ray.cluster_resources()
    gpus = int(there.get("GPU", 0))
    room = gpus or int(there.get("CPU", 0)) // cpus
    if not room:
        raise InputError(f"The Ray cluster has no {cpus} cores for a worker; take fewer by --cpus-per-worker.")
    needs: dict[str, Any] = {"num_gpus": 1} if gpus else {"num_cpus": cpus}
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    # What goes on is told by us, perhaps as JSON; Ray's own words stay in its log files.
    for handler in logging.getLogger("ray.data").handlers:
        if handler.get_name() == "console":
            handler.setLevel(logging.ERROR)
    items = [{"key": key, "group": pickle.dumps(group)} for key, group in groups.items()]
    rows = ray.data.from_items(items, override_num_blocks=min(len(items), _MOST_BLOCKS)).map_batches(
        _Actor,
        fn_constructor_kwargs={"make": make},
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(size=min(workers or room, len(items))),
        **needs,
    )
    done: set[str] = set()
    for row in rows.iter_rows():
        # Blocks that are done again replace those that were lost; that none comes twice is not left to that.
        if row["key"] not in done:
            done.add(row["key"])
            yield json.loads(row["record"]), row["key"], json.loads(row["outcomes"])
    if missing := len(groups) - len(done):
        raise RuntimeError(f"Ray gave nothing for {missing} groups; the same command goes on with them")


class _Actor:
    """A scorer for rows of pickled groups."""

    def __init__(self, make: Callable[[], Scorer]):
        self._scorer = make()
        gc.freeze()  # as in `Scorer.score_groups`, for ever

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[str]]:
        outcomes = [self._scorer.score(pickle.loads(group)) for group in batch["group"]]
        return {
            "key": list(batch["key"]),
            "record": [json.dumps(self._scorer.record)] * len(outcomes),
            "outcomes": [json.dumps(one, allow_nan=False) for one in outcomes],
        }

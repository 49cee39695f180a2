"""One model, and one thread that puts requests to it: those that arrive together share forwards.

Whoever waits for a request gets a `concurrent.futures.Future`. A request that is given up, because nobody waits any
more or its time is over, is not begun; one that runs is stopped at its next forward.
"""

from __future__ import annotations

import functools
import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from causal_attrib.engine import choose_engine
from causal_attrib.errors import InputError
from causal_attrib.results.attribution import Attribution
from causal_attrib.results.maps import Maps
from causal_attrib.scores.caption_task import CaptionTask, make_task, run_tasks
from causal_attrib.scores.saliency_methods.maps import map_picture
from causal_attrib.serve.asked import Asked
from causal_attrib.serve.limits import Limits
from causal_attrib.vlm import VLM

# Seconds in which requests that follow each other are taken together, and how many.
GATHER = 0.005
TOGETHER = 8

# Called with (interventions done, interventions in all); the second is None where that is not known.
Progress = Callable[[int, int | None], None]

_log = logging.getLogger(__name__)


class FullError(RuntimeError):
    """So many requests wait that this one has to come again."""


class GivenUpError(RuntimeError):
    """Nobody waits for this request any more, or its time is over."""


@dataclass(eq=False)
class Ticket:
    """A request on its way.

    future:   its `Attribution`, or its `Maps`
    progress: told from the model's thread
    """

    asked: Asked
    progress: Progress
    ends: float
    future: Future[Attribution | Maps] = field(default_factory=Future)
    _given_up: threading.Event = field(default_factory=threading.Event)

    @property
    def pixels(self) -> int:
        """Bytes of the picture."""
        width, height = self.asked.inputs.picture.pixels.size
        return 3 * width * height

    def give_up(self) -> None:
        self._given_up.set()

    def check(self) -> None:
        """Raises GivenUpError."""
        if self._given_up.is_set() or time.monotonic() > self.ends:
            raise GivenUpError


class Resident:
    """The model and its thread, which lives until `close`."""

    def __init__(self, vlm: VLM, limits: Limits) -> None:
        self.vlm = vlm
        self.limits = limits
        self._queue: queue.Queue[Ticket | None] = queue.Queue(limits.queue)
        # Bytes of the pictures in the queue.
        self._pixels = 0
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._work, name="model", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        return self._queue.qsize()

    def submit(self, asked: Asked, progress: Progress = lambda done, total: None) -> Ticket:
        """
        Raises:
            FullError: too many wait.
        """
        ticket = Ticket(asked, progress, time.monotonic() + self.limits.seconds)
        with self._lock:
            # However large one picture is, it may come alone.
            if self._pixels and self._pixels + ticket.pixels > self.limits.waiting:
                raise FullError
            try:
                self._queue.put_nowait(ticket)
            except queue.Full:
                raise FullError from None
            self._pixels += ticket.pixels
        return ticket

    def close(self) -> None:
        """End the thread when all that waits is done."""
        self._queue.put(None)
        self._thread.join()

    def _work(self) -> None:
        left: list[Ticket] = []
        open_ = True
        while open_ or left:
            if not left:
                ticket = self._taken(None)
                if ticket is None:
                    return
                left = [ticket]
            open_ = self._gather(left) and open_
            together = [one for one in left if _together(left[0].asked, one.asked)][:TOGETHER]
            left = [one for one in left if one not in together]
            self._run(together)

    def _taken(self, seconds: float | None) -> Ticket | None:
        """The next of the queue; None is the end.

        Raises:
            queue.Empty: none comes in that time.
        """
        ticket = self._queue.get(timeout=seconds)
        if ticket is not None:
            with self._lock:
                self._pixels -= ticket.pixels
        return ticket

    def _gather(self, tickets: list[Ticket]) -> bool:
        """Add what arrives in a few milliseconds; False when there is the end."""
        until = time.monotonic() + GATHER
        while len(tickets) < TOGETHER:
            try:
                ticket = self._taken(max(until - time.monotonic(), 0))
            except queue.Empty:
                break
            if ticket is None:
                return False
            tickets.append(ticket)
        return True

    def _run(self, tickets: Sequence[Ticket]) -> None:
        """Answer each; a fault of one stops neither the others nor the thread."""
        if tickets[0].asked.choice is not None:
            self._answer(tickets[0], lambda: self._maps(tickets[0]))
            return
        tasks: dict[Ticket, CaptionTask] = {}
        for ticket in tickets:
            try:
                ticket.check()
                tasks[ticket] = self._task(ticket.asked)
            except BaseException as error:
                _fail(ticket, error)
        try:
            found = self._scores(tasks)
        except BaseException as error:
            if len(tasks) == 1:
                _fail(next(iter(tasks)), error)
                return
            # One of them is to blame; it does not stop the others.
            for ticket, task in tasks.items():
                self._answer(ticket, functools.partial(self._score, ticket, task))
            return
        for ticket, attribution in zip(tasks, found, strict=True):
            ticket.future.set_result(attribution)

    def _answer(self, ticket: Ticket, work: Callable[[], Attribution | Maps]) -> None:
        try:
            ticket.check()
            ticket.future.set_result(work())
        except BaseException as error:
            _fail(ticket, error)

    def _task(self, asked: Asked) -> CaptionTask:
        given = asked.inputs
        return make_task(
            self.vlm,
            asked.settings,
            given.picture,
            given.captions[0],
            **asked.texts,
            objects=given.objects,
            calibration=given.calibration,
        )

    def _scores(self, tasks: dict[Ticket, CaptionTask]) -> list[Attribution]:
        if not tasks:
            return []
        first = next(iter(tasks.values()))
        total = sum(task.interventions for task in tasks.values())
        done = 0

        def advance(count: int) -> None:
            nonlocal done
            done += count
            for ticket in tasks:
                # One that was given up in the midst of others costs them nothing but what it shares with them.
                if len(tasks) == 1:
                    ticket.check()
                ticket.progress(done, total)

        several = len({(task.encoding.picture.sha256, task.encoding.prompt) for task in tasks.values()}) > 1
        settings = first.settings
        engine = choose_engine(settings.engine, self.vlm, first.encoding, settings.batch_size, advance, several=several)
        return run_tasks(engine, list(tasks.values()))

    def _score(self, ticket: Ticket, task: CaptionTask) -> Attribution:
        return self._scores({ticket: task})[0]

    def _maps(self, ticket: Ticket) -> Maps:
        asked, done = ticket.asked, 0
        assert asked.choice is not None

        def advance(rows: int) -> None:
            nonlocal done
            done += rows
            ticket.check()
            ticket.progress(done, None)

        given = asked.inputs
        return map_picture(
            self.vlm,
            asked.choice,
            given.picture,
            given.captions[0],
            **asked.texts,
            words=asked.words,
            foil=asked.foil,
            progress=advance,
        )


def _together(first: Asked, other: Asked) -> bool:
    if first is other:
        return True
    alike = first.shares_forwards_with
    return alike is not None and alike == other.shares_forwards_with


def _fail(ticket: Ticket, error: BaseException) -> None:
    if not isinstance(error, (InputError, GivenUpError)):
        _log.exception("a request failed", exc_info=error)
    ticket.future.set_exception(error)

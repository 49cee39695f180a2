"""From interventions to outcomes, whatever way log-probabilities are read and text is written.

An engine is two primitives, `logprobs` and `write`; what is read and written, and what becomes of it, stands here.
"""

from __future__ import annotations

import functools
import itertools
import math
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar, cast

import numpy as np
from torch import Tensor

from causal_attrib.engine.cost import Cost
from causal_attrib.engine.gumbel import GumbelNoise
from causal_attrib.interventions import Edited, Intervention, Rewrite, edit
from causal_attrib.outcomes import Outcome, Probe, Reading, checked
from causal_attrib.outcomes.base import LogprobOutcome, TextOutcome
from causal_attrib.vlm import VLM, Continuation, Encoding
from causal_attrib.vlm.text import decode
from causal_attrib.words.reasoning import split_response

# How much longer than the text it replaces a continuation may get before it is cut off.
SLACK = 32


@dataclass(frozen=True)
class Request:
    """Log-probabilities that are wanted: of `row.ids[place]`, given all before it, for each of `places`."""

    encoding: Encoding
    row: Continuation
    places: tuple[int, ...]


@dataclass(frozen=True)
class Draft:
    """A text that is wanted: what follows `row`, at most `longest` tokens of it, greedy but for the noise."""

    encoding: Encoding
    row: Continuation
    longest: int
    noise: GumbelNoise | None = None


@dataclass(frozen=True)
class Job:
    """One caption's interventions and what judges them.

    streams: for each intervention the number of its own draws where they are independent; None is its place
    """

    encoding: Encoding
    interventions: tuple[Intervention, ...]
    outcome: Outcome
    streams: tuple[int, ...] | None = None

    @property
    def reader(self) -> LogprobOutcome:
        """The outcome, where it reads log-probabilities (`needs_text` is False)."""
        return cast(LogprobOutcome, self.outcome)

    @property
    def judge(self) -> TextOutcome:
        """The outcome, where it judges text."""
        return cast(TextOutcome, self.outcome)


Items = TypeVar("Items", Sequence[Any], np.ndarray)
ReadsLogits = Callable[[Tensor, tuple[int, ...]], tuple[np.ndarray, np.ndarray]]
# A caption, its edits with the noise of each draw, and the ids that were drawn behind them.
_Drawn = tuple[Job, Sequence[tuple[Edited, GumbelNoise]], Sequence[tuple[int, ...]]]


@dataclass
class Engine(ABC):
    """Turns interventions into outcomes.

    The model's weights must stay as they are while an engine lives: it may keep what it has read of a picture.

    batch_size: rows per forward, or "auto" for what suits the device
    on_done:    called with the number of interventions just finished, for progress bars
    """

    vlm: VLM
    batch_size: int | str = "auto"
    on_done: Callable[[int], None] = lambda count: None
    cost: Cost = field(default_factory=Cost)
    name = ""

    # -- what an engine must do -------------------------------------------------------------------------------------

    @abstractmethod
    def scan(self, encoding: Encoding) -> Tensor:
        """Logits (T, V), float32, that predict each token of the unedited response, tags and answer included."""

    def scans(self, encodings: Sequence[Encoding], read: ReadsLogits) -> list[tuple[np.ndarray, np.ndarray]]:
        """What `read` makes of the logits of `scan` and the ids of each response; they share forwards where they can.

        Args:
            read: from logits (N, V) and the N tokens that they predict to two numbers for each, row by row.
        """
        return [read(self.scan(encoding), encoding.response_ids) for encoding in encodings]

    @abstractmethod
    def scan_rows(self, encoding: Encoding, rows: Sequence[tuple[int, ...]]) -> list[Tensor]:
        """The logits of `scan` of several responses to one picture and prompt, that of the encoding not among them."""

    @abstractmethod
    def logprobs(self, requests: Sequence[Request], advance: Callable[[int], None]) -> list[Tensor]:
        """Log-probabilities (nats, float32, on the CPU) of each request; `advance` is told how many were answered."""

    @abstractmethod
    def write(self, drafts: Sequence[Draft]) -> list[tuple[int, ...]]:
        """The new ids of each draft, end-of-sequence and what follows it cut off."""

    @abstractmethod
    def positions(self, rows: Sequence[tuple[Encoding, Continuation, int]]) -> int:
        """Token positions that it takes to read each row up to the place given with it, and not what stands there."""

    @contextmanager
    def holding(self) -> Iterator[None]:
        """While it lasts, what was written may be kept in memory, since it is about to be read again."""
        yield

    def drafts_at_once(self, encoding: Encoding) -> int:
        """How many drafts it is best to ask for together."""
        return 1

    def adopt(self, before: Engine | None) -> None:  # noqa: B027
        """Take over what serves any caption from an engine that is done with its own. Most keep nothing."""

    def together(self, encodings: Sequence[Encoding]) -> list[list[int]]:
        """Indices of captions in groups that are best run together: what is read for one serves the others."""
        return [[index] for index in range(len(encodings))]

    # -- what all engines do with it --------------------------------------------------------------------------------

    def run(
        self,
        encoding: Encoding,
        interventions: Sequence[Intervention],
        outcome: Outcome,
        *,
        samples: int = 0,
        seed: int = 0,
        coupling: str = "independent",
    ) -> np.ndarray:
        """Outcomes r in [0, 1] of N interventions.

        Args:
            samples: H. With H > 0 the model first goes on from each edited response H times by sampling at
                temperature 1, and r is that of the completed response; 0 judges the edited response itself.
            seed, coupling: of the draws (`engine.gumbel`).

        Returns:
            Array (N, H), or (N, 1) for H = 0.
        """
        jobs = [Job(encoding, tuple(interventions), outcome)]
        return self.run_jobs(jobs, samples=samples, seed=seed, coupling=coupling)[0]

    def run_jobs(
        self, jobs: Sequence[Job], *, samples: int = 0, seed: int = 0, coupling: str = "independent", first: int = 0
    ) -> list[np.ndarray]:
        """The same for several captions, which share forwards where the engine can.

        Args:
            first: number of the first completion of each prefix; those before it were drawn already.

        Raises:
            InputError: words are to be hidden by their embeddings, and the model reads them all the same.
        """
        for job in jobs:
            if any(_row(edited, ()).hidden for edited in self._edits(job)):
                self.vlm.check_hiding(job.encoding)
        outcomes: dict[int, np.ndarray] = {}
        for group in self.together([job.encoding for job in jobs]):
            some = [jobs[index] for index in group]
            found = (
                self._run_sampled(some, range(first, first + samples), seed, coupling)
                if samples
                else self._run_as_it_is(some)
            )
            outcomes.update(zip(group, found, strict=True))
        return [outcomes[index] for index in range(len(jobs))]

    def _run_as_it_is(self, jobs: Sequence[Job]) -> list[np.ndarray]:
        by_logprob = [index for index, job in enumerate(jobs) if not job.outcome.needs_text]
        edits = [self._edits(jobs[index]) for index in by_logprob]
        read = self._judge([jobs[index] for index in by_logprob], edits, self.on_done)
        judged = dict(zip(by_logprob, read, strict=True))
        for index, job in enumerate(jobs):
            if job.outcome.needs_text:
                judged[index] = self._judge_texts(job)
        return [judged[index][:, None] for index in range(len(jobs))]

    def forecast(self, jobs: Sequence[Job], samples: int = 0) -> int:
        """Token positions that `run_jobs` will take, at most: a text that is written may end sooner."""
        rows: list[tuple[Encoding, Continuation, int]] = []
        written = 0
        for job in jobs:
            edits = self._edits(job)
            if samples or job.outcome.needs_text:
                drafts = [self._draft(job.encoding, edited) for edited in edits]
                begun = [(job.encoding, draft.row, 1 + len(draft.row.ids)) for draft in drafts] * max(samples, 1)
                longest = max(samples, 1) * sum(draft.longest for draft in drafts)
                rows, written = rows + begun, written + longest
                # What was written may have to be read as well.
                for probe in () if job.outcome.needs_text else job.reader.probes(self.vlm, job.encoding):
                    rows, written = rows + begun, written + longest + len(begun) * len(probe.cue + probe.answer)
            else:
                probes = job.reader.probes(self.vlm, job.encoding)
                requests = [
                    _request(job.encoding, edited, probe) for edited in dict.fromkeys(edits) for probe in probes
                ]
                rows += [(job.encoding, request.row, 1 + max(request.places, default=-1)) for request in requests]
        return self.positions(rows) + written

    def _run_sampled(self, jobs: Sequence[Job], draws: range, seed: int, coupling: str) -> list[np.ndarray]:
        samples = len(draws)
        outcomes: list[list[float]] = [[] for _ in jobs]
        todo = [(number, n, edited) for number, job in enumerate(jobs) for n, edited in enumerate(self._edits(job))]
        for chunk in chunks(todo, max(1, self.drafts_at_once(jobs[0].encoding) // samples)):
            rows_of: dict[int, list[tuple[Edited, GumbelNoise]]] = defaultdict(list)
            for number, n, edited in chunk:
                streams = jobs[number].streams
                stream = 0 if coupling == "gumbel" else 1 + (n if streams is None else streams[n])
                rows_of[number] += [(edited, GumbelNoise(seed, stream, k)) for k in draws]
            with self.holding():
                drawn = self._draw([(jobs[number], rows) for number, rows in rows_of.items()])
                for number, found in zip(rows_of, self._judge_completions(drawn), strict=True):
                    outcomes[number] += found
            self.on_done(len(chunk))
        return [np.array(some).reshape(-1, samples) for some in outcomes]

    def _draw(self, wanted: Sequence[tuple[Job, Sequence[tuple[Edited, GumbelNoise]]]]) -> list[_Drawn]:
        drafts = [self._draft(job.encoding, edited, noise) for job, rows in wanted for edited, noise in rows]
        written = iter(self.write(drafts))
        return [(job, rows, list(itertools.islice(written, len(rows)))) for job, rows in wanted]

    # -- outcomes that read log-probabilities -----------------------------------------------------------------------

    def _judge(
        self, jobs: Sequence[Job], edits: Sequence[Sequence[Edited]], on_done: Callable[[int], None]
    ) -> list[np.ndarray]:
        probes = [job.reader.probes(self.vlm, job.encoding) for job in jobs]
        asked = [
            (number, edited, probe)
            for number in range(len(jobs))
            # The whole response and its longest prefix are the same edit: each is run once.
            for edited in dict.fromkeys(edits[number])
            for probe in probes[number]
        ]
        advance = _in_proportion(on_done, len(asked), sum(map(len, edits)))
        requests = [_request(jobs[number].encoding, edited, probe) for number, edited, probe in asked]
        answers = self.logprobs(requests, advance)
        readings = {key: _reading(*key[1:], answer) for key, answer in zip(asked, answers, strict=True)}
        judged = []
        for number, job in enumerate(jobs):
            r_of = {
                edited: checked(
                    job.reader(tuple(readings[number, edited, probe] for probe in probes[number]), job.encoding),
                    job.outcome.name,
                )
                for edited in dict.fromkeys(edits[number])
            }
            judged.append(np.array([r_of[edited] for edited in edits[number]]))
        return judged

    def _judge_completions(self, drawn: Sequence[_Drawn]) -> list[list[float]]:
        """Outcomes of what was written, for each caption; those that read log-probabilities are read together."""
        by_logprob = [index for index, (job, _, _) in enumerate(drawn) if not job.outcome.needs_text]
        completed = [
            [
                _completed(edited, self._reasoning_only(job.encoding, edited.ids, new))
                for (edited, _), new in zip(rows, written, strict=True)
            ]
            for job, rows, written in (drawn[index] for index in by_logprob)
        ]
        read = self._judge([drawn[index][0] for index in by_logprob], completed, lambda count: None)
        judged = dict(zip(by_logprob, (r.tolist() for r in read), strict=True))
        for index, each in enumerate(drawn):
            if index not in judged:
                judged[index] = self._judge_completed_texts(*each)
        return [judged[index] for index in range(len(drawn))]

    def _reasoning_only(self, encoding: Encoding, kept: tuple[int, ...], written: tuple[int, ...]) -> tuple[int, ...]:
        """What was written, up to where it leads over to an answer of its own (the cue is put there by the probe)."""
        if not encoding.answers_a_question or encoding.end == len(encoding.response_ids):
            return written
        texts = [decode(self.vlm.tokenizer, kept + written[:count]) for count in range(len(written) + 1)]
        parts = next(filter(None, map(split_response, texts)), None)
        if parts is None and encoding.ends_in_answer:
            parts = split_response(texts[-1], ends_in_answer=True)
        if parts is None:
            return written
        return written[: next(count for count, text in enumerate(texts) if len(text) >= parts.end)]

    # -- outcomes that judge text -----------------------------------------------------------------------------------

    def _judge_texts(self, job: Job) -> np.ndarray:
        encoding, edits = job.encoding, self._edits(job)
        asks = encoding.answers_a_question
        drafted = [asks or isinstance(intervention, Rewrite) for intervention in job.interventions]
        outcomes = []
        for chunk in chunks(range(len(edits)), self.drafts_at_once(encoding)):
            drafts = [self._draft(encoding, edits[n], answers=asks) for n in chunk if drafted[n]]
            written = iter(self.write(drafts))
            for n in chunk:
                new = next(written) if drafted[n] else ()
                if asks:
                    text = decode(self.vlm.tokenizer, new).partition("</")[0].strip()
                else:
                    text = decode(self.vlm.tokenizer, tuple(edits[n].ids[i] for i in edits[n].visible) + new)
                outcomes.append(checked(job.judge(text), job.outcome.name))
                self.on_done(1)
        return np.array(outcomes)

    def _judge_completed_texts(
        self, job: Job, rows: Sequence[tuple[Edited, GumbelNoise]], written: Sequence[tuple[int, ...]]
    ) -> list[float]:
        encoding = job.encoding
        completed = [_completed(edited, new) for (edited, _), new in zip(rows, written, strict=True)]
        if encoding.answers_a_question and encoding.end == len(encoding.response_ids):
            drafts = [
                self._draft(encoding, edited, noise, answers=True)
                for edited, (_, noise) in zip(completed, rows, strict=True)
            ]
            texts = [decode(self.vlm.tokenizer, answer) for answer in self.write(drafts)]
        else:
            texts = [decode(self.vlm.tokenizer, edited.ids) for edited in completed]
            if encoding.answers_a_question:
                split = functools.partial(split_response, ends_in_answer=encoding.ends_in_answer)
                texts = [parts.answer if parts else "" for parts in map(split, texts)]
        return [checked(job.judge(text), job.outcome.name) for text in texts]

    def _draft(
        self, encoding: Encoding, edited: Edited, noise: GumbelNoise | None = None, *, answers: bool = False
    ) -> Draft:
        """What is to be written behind an edit: the answer, or what is left of the response."""
        longest = len(encoding.answer_ids) if answers else max(len(encoding.response_ids) - len(edited.ids), 0)
        return Draft(encoding, _row(edited, encoding.cue_ids if answers else ()), longest + SLACK, noise)

    def _edits(self, job: Job) -> list[Edited]:
        body = job.encoding.response_ids[: job.encoding.end]
        return [edit(body, intervention, self._mask_id) for intervention in job.interventions]

    @property
    def _mask_id(self) -> int:
        tokenizer = self.vlm.tokenizer
        return next((i for i in (tokenizer.mask_token_id, tokenizer.unk_token_id) if i is not None), self.vlm.pad_id)


def chunks(items: Items, size: int) -> Iterable[Items]:
    """`items` in pieces of at most `size`."""
    return (items[start : start + size] for start in range(0, len(items), size))


def _completed(edited: Edited, written: tuple[int, ...]) -> Edited:
    return replace(edited, ids=edited.ids + written, completed=True)


def _row(edited: Edited, suffix: tuple[int, ...], reference: bool = False) -> Continuation:
    embedded = edited.hidden if edited.fill in ("zero", "mean") else ()
    return Continuation(edited.ids + suffix, embedded, edited.fill if embedded else "zero", reference)


def _request(encoding: Encoding, edited: Edited, probe: Probe) -> Request:
    """A probe with an answer reads that; one without reads the visible part of the response."""
    row = _row(edited, probe.cue + probe.answer, probe.reference)
    answer = range(len(row.ids) - len(probe.answer), len(row.ids))
    return Request(encoding, row, tuple(answer) if probe.answer else edited.visible)


def _reading(edited: Edited, probe: Probe, logprob: Tensor) -> Reading:
    nothing = logprob.new_empty(0)
    if probe.answer:
        return Reading(nothing, logprob)
    return Reading(logprob, nothing, edited.places, edited.ids if edited.completed else None)


def _in_proportion(on_done: Callable[[int], None], requests: int, edits: int) -> Callable[[int], None]:
    """Tell `on_done` of finished interventions as requests are answered, all of them in the end."""
    answered = told = 0

    def advance(count: int) -> None:
        nonlocal answered, told
        answered += count
        done = math.floor(edits * answered / requests)
        if done > told:
            on_done(done - told)
            told = done

    return advance

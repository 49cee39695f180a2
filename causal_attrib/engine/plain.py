"""The plain engine: one ordinary forward per edited response. Slow, and the definition of right."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from causal_attrib.engine.gumbel import GumbelNoise
from causal_attrib.interventions import Edited, Intervention, Rewrite, edit
from causal_attrib.outcomes import Outcome, Probe, Reading, checked
from causal_attrib.vlm import VLM, Encoding, Row
from causal_attrib.vlm.reasoning import split_response
from causal_attrib.vlm.text import decode

# How much longer than the text it replaces a continuation may get before it is cut off.
SLACK = 32


@dataclass
class Cost:
    """What a run has taken: model calls, and token positions put through the model in them."""

    forwards: int = 0
    positions: int = 0


@dataclass
class PlainEngine:
    """Turns interventions into outcomes, one forward (or `generate`) each.

    batch_size: rows per forward; rows are padded on the right, which changes no number beyond rounding
    on_done:    called with the number of interventions just finished, for progress bars
    """

    vlm: VLM
    batch_size: int = 1
    on_done: Callable[[int], None] = lambda count: None
    cost: Cost = field(default_factory=Cost)
    name: str = "plain"

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
        edits = [edit(self._body(encoding), intervention, self._mask_id) for intervention in interventions]
        if samples:
            noises = [
                [GumbelNoise(seed, 0 if coupling == "gumbel" else 1 + n, k) for k in range(samples)]
                for n in range(len(edits))
            ]
            judge = self._judge_sampled_texts if outcome.needs_text else self._judge_sampled
            return np.array(
                [judge(encoding, edited, outcome, noise) for edited, noise in zip(edits, noises, strict=True)]
            )
        if outcome.needs_text:
            rows = zip(interventions, edits, strict=True)
            return np.array([[self._judge_text(encoding, *row, outcome)] for row in rows])
        return self._judge(encoding, edits, outcome, self.on_done)[:, None]

    # -- outcomes that read log-probabilities -----------------------------------------------------------------------

    def _judge(
        self, encoding: Encoding, edits: Sequence[Edited], outcome: Outcome, on_done: Callable[[int], None]
    ) -> np.ndarray:
        probes = outcome.probes(self.vlm, encoding)
        # The whole response and its longest prefix are the same edit: each is run once.
        distinct = list(dict.fromkeys(edits))
        readings: dict[tuple[Edited, Probe], Reading] = {}
        for probe in probes:
            for chunk in _chunks(distinct, self.batch_size):
                for edited, reading in zip(chunk, self._read(encoding, chunk, probe), strict=True):
                    readings[edited, probe] = reading
                if probe is probes[-1]:
                    on_done(len(chunk))
        on_done(len(edits) - len(distinct))
        r_of = {
            edited: checked(outcome(tuple(readings[edited, probe] for probe in probes), encoding), outcome.name)
            for edited in distinct
        }
        return np.array([r_of[edited] for edited in edits])

    def _read(self, encoding: Encoding, edits: Sequence[Edited], probe: Probe) -> Iterator[Reading]:
        rows = [self._row(edited, probe.cue + probe.answer, probe.neutral) for edited in edits]
        logits = self.vlm.read(encoding, rows)
        self._count(encoding, rows)
        for edited, row, logits_TV in zip(edits, rows, logits, strict=True):
            ids_T = torch.tensor(row.ids, device=logits_TV.device, dtype=torch.long)
            logprob_T = logits_TV[:-1].log_softmax(-1).gather(-1, ids_T[:, None])[:, 0].cpu()
            yield Reading(logprob_T[list(edited.visible)], logprob_T[len(row.ids) - len(probe.answer) :])

    def _judge_sampled(self, encoding: Encoding, edited: Edited, outcome: Outcome, noises: list[GumbelNoise]):
        completed = [
            Edited(edited.ids + self._reasoning_only(encoding, edited.ids, ids), edited.hidden, edited.fill)
            for ids in self._write(encoding, edited, (), noises)
        ]
        # The completions are parts of one intervention, which is counted once.
        r_H = self._judge(encoding, completed, outcome, lambda count: None)
        self.on_done(1)
        return r_H

    def _reasoning_only(self, encoding: Encoding, kept: tuple[int, ...], written: tuple[int, ...]) -> tuple[int, ...]:
        """What was written, up to where it leads over to an answer of its own (the cue is put there by the probe)."""
        if not encoding.answers_a_question or encoding.end == len(encoding.response_ids):
            return written
        texts = [decode(self.vlm.tokenizer, kept + written[:count]) for count in range(len(written) + 1)]
        parts = next(filter(None, map(split_response, texts)), None)
        if parts is None:
            return written
        return written[: next(count for count, text in enumerate(texts) if len(text) >= parts.end)]

    # -- outcomes that judge text -----------------------------------------------------------------------------------

    def _judge_text(self, encoding: Encoding, intervention: Intervention, edited: Edited, outcome: Outcome) -> float:
        if encoding.answers_a_question:
            (written,) = self._write(encoding, edited, encoding.cue_ids, [None])
            text = decode(self.vlm.tokenizer, written).partition("</answer>")[0].strip()
        else:
            visible = tuple(edited.ids[i] for i in edited.visible)
            written = self._write(encoding, edited, (), [None])[0] if isinstance(intervention, Rewrite) else ()
            text = decode(self.vlm.tokenizer, visible + written)
        self.on_done(1)
        return checked(outcome(text), outcome.name)

    def _judge_sampled_texts(
        self, encoding: Encoding, edited: Edited, outcome: Outcome, noises: list[GumbelNoise]
    ) -> list[float]:
        outcomes = []
        for noise, written in zip(noises, self._write(encoding, edited, (), noises), strict=True):
            text = decode(self.vlm.tokenizer, edited.ids + written)
            if encoding.answers_a_question and encoding.end < len(encoding.response_ids):
                parts = split_response(text)
                text = parts.answer if parts else ""
            elif encoding.answers_a_question:
                completed = Edited(edited.ids + written, edited.hidden, edited.fill)
                (answer,) = self._write(encoding, completed, encoding.cue_ids, [noise])
                text = decode(self.vlm.tokenizer, answer)
            outcomes.append(checked(outcome(text), outcome.name))
        self.on_done(1)
        return outcomes

    def _write(
        self, encoding: Encoding, edited: Edited, cue: tuple[int, ...], noises: Sequence[GumbelNoise | None]
    ) -> list[tuple[int, ...]]:
        longest = len(encoding.answer_ids) if cue else max(len(encoding.response_ids) - len(edited.ids), 0)
        row = self._row(edited, cue)
        written = [
            ids
            for chunk in _chunks(noises, self.batch_size)
            for ids in self.vlm.write(encoding, row, longest + SLACK, chunk)
        ]
        self.cost.forwards += sum(len(ids) + 1 for ids in written)
        self.cost.positions += sum(encoding.prompt_length + len(row.ids) + len(ids) for ids in written)
        return written

    # -- shared -----------------------------------------------------------------------------------------------------

    @property
    def _mask_id(self) -> int:
        tokenizer = self.vlm.tokenizer
        return next((i for i in (tokenizer.mask_token_id, tokenizer.unk_token_id) if i is not None), self.vlm.pad_id)

    def _body(self, encoding: Encoding) -> tuple[int, ...]:
        return encoding.response_ids[: encoding.end]

    def _row(self, edited: Edited, suffix: tuple[int, ...], neutral: bool = False) -> Row:
        embedded = edited.hidden if edited.fill in ("zero", "mean") else ()
        return Row(edited.ids + suffix, embedded, edited.fill if embedded else "zero", neutral)

    def _count(self, encoding: Encoding, rows: Sequence[Row]) -> None:
        self.cost.forwards += len(rows)
        self.cost.positions += sum(encoding.prompt_length + len(row.ids) for row in rows)


def _chunks(items: Sequence, size: int) -> Iterable[Sequence]:
    return (items[start : start + size] for start in range(0, len(items), size))

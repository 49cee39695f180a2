"""The plain engine: one ordinary forward per edited response. Slow, and the definition of right."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from causal_attrib.engine.base import Draft, Engine, Request, chunks
from causal_attrib.vlm import Continuation, Encoding


@dataclass
class PlainEngine(Engine):
    """One forward (or `generate`) for each row.

    batch_size: rows per forward, padded on the right, which changes no number beyond rounding; "auto" is 1 on a CPU,
        where more gains nothing, and 8 elsewhere
    """

    name = "plain"

    def scan(self, encoding: Encoding) -> Tensor:
        (logits_TV,) = self.vlm.read(encoding, [Continuation(encoding.response_ids)])
        self._count(encoding, [encoding.response_ids])
        return logits_TV[:-1]

    def scan_rows(self, encoding: Encoding, rows: Sequence[tuple[int, ...]]) -> list[Tensor]:
        found: list[Tensor] = []
        for chunk in chunks(list(rows), self._rows):
            found += [logits_TV[:-1] for logits_TV in self.vlm.read(encoding, [Continuation(ids) for ids in chunk])]
            self._count(encoding, chunk)
        return found

    def logprobs(self, requests: Sequence[Request], advance: Callable[[int], None]) -> list[Tensor]:
        answers: dict[int, Tensor] = {}
        # Rows of one forward share a picture.
        by_picture = sorted(range(len(requests)), key=lambda n: (id(requests[n].encoding), requests[n].row.reference))
        for _, alike in itertools.groupby(
            by_picture, key=lambda n: (id(requests[n].encoding), requests[n].row.reference)
        ):
            for chunk in chunks(list(alike), self._rows):
                encoding, rows = requests[chunk[0]].encoding, [requests[n].row for n in chunk]
                for n, logits_TV in zip(chunk, self.vlm.read(encoding, rows), strict=True):
                    ids_T = torch.tensor(requests[n].row.ids, device=logits_TV.device, dtype=torch.long)
                    logprob_T = logits_TV[:-1].log_softmax(-1).gather(-1, ids_T[:, None])[:, 0].cpu()
                    answers[n] = logprob_T[list(requests[n].places)]
                self._count(encoding, [row.ids for row in rows])
                advance(len(chunk))
        return [answers[n] for n in range(len(requests))]

    def write(self, drafts: Sequence[Draft]) -> list[tuple[int, ...]]:
        written: list[tuple[int, ...]] = []
        # Continuations of one row share a call.
        for _, alike in itertools.groupby(drafts, key=lambda d: (id(d.encoding), d.row, d.longest)):
            for chunk in chunks(list(alike), self._rows):
                first = chunk[0]
                noises = [draft.noise for draft in chunk]
                written += self.vlm.write(first.encoding, first.row, first.longest, noises)
        for draft, ids in zip(drafts, written, strict=True):
            self.cost.add(draft.encoding.prompt_length + len(draft.row.ids) + len(ids), forwards=len(ids) + 1)
        return written

    def positions(self, rows: Sequence[tuple[Encoding, Continuation, int]]) -> int:
        return sum(encoding.prompt_length + len(row.ids) for encoding, row, _ in rows)

    @property
    def _rows(self) -> int:
        if self.batch_size == "auto":
            return 1 if self.vlm.model.device.type == "cpu" else 8
        return int(self.batch_size)

    def _count(self, encoding: Encoding, rows: Sequence[tuple[int, ...]]) -> None:
        for ids in rows:
            self.cost.add(encoding.prompt_length + len(ids))

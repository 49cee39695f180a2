"""Completions that were sampled during a run, with what the method made of each token."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers import (
    PreTrainedTokenizerBase,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from causal_attrib.training.scoring.rewards import text_of
from causal_attrib.vlm.text import spans_of_ids

if TYPE_CHECKING:
    from causal_attrib.training.trainers.copo_trainer import CopoGRPOTrainer

# Tokens named under a completion in the text file, those with the largest scores.
STRONGEST = 8
# Smaller scores are not named.
NOTHING = 0.005


@dataclass(frozen=True)
class SampledBatch:
    """Of the last batch that was sampled; B completions, T tokens.

    rows:        what each was sampled for (B)
    ids_BT, mask_BT: its tokens, and which of them are no padding
    reward_B, advantage_B: as the group has them
    added_BT:    what the method adds to each token's advantage, or None if it leaves them alone
    """

    rows: Sequence[dict]
    ids_BT: Tensor
    mask_BT: Tensor
    reward_B: Tensor
    advantage_B: Tensor
    added_BT: Tensor | None


@dataclass(frozen=True)
class Sample:
    """One completion, as plain data.

    tokens: their texts, which joined are the completion
    added:  to the advantage of each, or None
    """

    step: int
    prompt: str
    reference: str | None
    reward: float
    advantage: float
    tokens: tuple[str, ...]
    added: tuple[float, ...] | None

    def __str__(self) -> str:
        lines = [
            f"step {self.step}   reward {self.reward:.3g}   advantage {self.advantage:+.2f}"
            + (f"   reference: {self.reference}" if self.reference else ""),
            f"  {self.prompt}",
            f"  {''.join(self.tokens).strip()}",
        ]
        added = self.added or ()
        strong = [t for t, value in enumerate(added) if abs(value) >= NOTHING]
        if strong:
            strong = sorted(sorted(strong, key=lambda t: -abs(added[t]))[:STRONGEST])
            named = [f"{self.tokens[t].strip()!r} {added[t]:+.2f}" for t in strong]
            lines.append(f"  added to the advantage: {', '.join(named)}")
        return "\n".join(lines) + "\n"


def samples(batch: SampledBatch, tokenizer: PreTrainedTokenizerBase, count: int, step: int, group: int) -> list[Sample]:
    """`count` completions of the first prompt, from the lowest reward to the highest."""
    group = min(group, len(batch.rows))
    order = sorted(range(group), key=lambda b: float(batch.reward_B[b]))
    places = torch.linspace(0, group - 1, min(count, group)).round().int().tolist()
    return [_sample(batch, tokenizer, order[place], step) for place in places]


def _sample(batch: SampledBatch, tokenizer: PreTrainedTokenizerBase, b: int, step: int) -> Sample:
    row = batch.rows[b]
    length = int(batch.mask_BT[b].sum())
    text, spans = spans_of_ids(tokenizer, tuple(batch.ids_BT[b, :length].tolist()))
    return Sample(
        step=step,
        prompt=text_of(row["prompt"]),
        reference=row.get("answer"),
        reward=float(batch.reward_B[b]),
        advantage=float(batch.advantage_B[b]),
        tokens=tuple(text[start:end] for start, end in spans),
        added=None if batch.added_BT is None else tuple(batch.added_BT[b, :length].tolist()),
    )


class ShowCompletions(TrainerCallback):
    """At each line of the log: some completions of the last batch into a text file, into one of JSON Lines, and to
    whoever watches."""

    def __init__(
        self,
        trainer: CopoGRPOTrainer,
        count: int,
        path: Path,
        lines: Path,
        show: Callable[[list[Sample]], None] | None = None,
    ) -> None:
        self.trainer = trainer
        self.count = count
        self.path = path
        self.lines = lines
        self.show = show

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **_: Any,
    ) -> None:
        trainer = self.trainer
        if not state.is_world_process_zero or "loss" not in (logs or {}) or trainer.sampled is None:
            return
        tokenizer = trainer.processing_class.tokenizer
        shown = samples(trainer.sampled, tokenizer, self.count, state.global_step, trainer.num_generations)
        with self.path.open("a", encoding="utf-8") as file:
            file.writelines(f"{sample}\n" for sample in shown)
        with self.lines.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(asdict(sample), ensure_ascii=False) + "\n" for sample in shown)
        if self.show is not None:
            self.show(shown)

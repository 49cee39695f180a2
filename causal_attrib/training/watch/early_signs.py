"""Signs, in the first lines of the log, that a run is not going to learn what it should.

Each is a sentence that says what is seen and what to do. They hold on average over the last lines of the log, so that
one odd batch is no alarm.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

# Lines of the log that a sign is the average of.
WINDOW = 5

# Shares, from which on we speak: prompts without a spread of rewards, completions cut off, completions not scored.
SAME_REWARD, CUT_OFF, UNSCORED = 0.8, 0.95, 0.9
# Mean KL per token, in nats, that a policy under control stays well below; and how many times longer completions get.
LARGE_KL, LONGER = 1.0, 3.0


def signs(entries: Sequence[dict]) -> Iterator[tuple[str, str]]:
    """The signs in the lines of a log so far, each with a name.

    >>> dict(signs([{"loss": 0.0, "reward": 0.0, "reward_std": 0.0, "frac_reward_zero_std": 1.0}]))
    {'same reward': 'No reward has varied so far (all are 0): nothing is learned; ...'}
    """
    recent = entries[-WINDOW:]

    def mean(name: str) -> float:
        values = [entry[name] for entry in recent if entry.get(name) is not None]
        return sum(values) / len(values) if values else math.nan

    last = entries[-1]
    if not all(math.isfinite(last.get(name, 0.0)) for name in ("loss", "grad_norm")):
        yield "not finite", "The loss or its gradient is no finite number; lower the learning rate, or set bf16 to no."
    if "reward" in last and all(entry.get("reward") is None for entry in recent):
        yield "no reward", "No reward function had anything to say; see whether the rows have what it compares with."
    elif mean("frac_reward_zero_std") > SAME_REWARD:
        rewards = {entry["reward"] for entry in entries if entry.get("reward") is not None}
        if len(rewards) == 1 and mean("reward_std") < 1e-6:
            yield (
                "same reward",
                f"No reward has varied so far (all are {rewards.pop():g}): nothing is learned; see whether the "
                "completions can ever be right or wrong, and whether the reward finds the answer in them.",
            )
        else:
            yield (
                "same reward",
                f"For {mean('frac_reward_zero_std'):.0%} of the prompts all completions get the same reward, and "
                "nothing is learned from those; choose prompts with copo select, or raise the temperature.",
            )
    if mean("rewards/format/mean") == 0:
        yield "format", "No completion has had the tags that the reward format asks for; ask for them in the prompt."
    if mean("copo/unscored_completions") > UNSCORED:
        yield (
            "unscored",
            f"Of {mean('copo/unscored_completions'):.0%} of the completions no token is scored: they "
            "answer at once, or their reasoning comes to no end; ask for it in the prompt, or train with grpo.",
        )
    elif mean("copo/scored_tokens") == 0:
        # A completion without a token that counts is not among those that are not scored.
        yield (
            "unscored",
            "No token has been scored: completions that are cut off count for nothing (mask_truncated_completions), "
            "and the others answer at once or come to no end of their reasoning; raise max_completion_length, or "
            "train with grpo.",
        )
    if mean("completions/clipped_ratio") > CUT_OFF:
        yield (
            "cut off",
            "Nearly all completions are cut off before their end; raise max_completion_length, or ask for less.",
        )
    if mean("kl") > LARGE_KL:
        yield (
            "kl",
            f"The policy has moved {mean('kl'):.1f} nats per token away from where it began; raise beta, or lower the "
            "learning rate.",
        )
    begun = [entry["completions/mean_length"] for entry in entries[:WINDOW] if "completions/mean_length" in entry]
    if len(entries) > WINDOW and begun and mean("completions/mean_length") > LONGER * sum(begun) / len(begun):
        yield (
            "length",
            f"Completions have become {LONGER:g} times as long as they were; see whether the reward pays for length.",
        )


class EarlySigns(TrainerCallback):
    """Tells of each sign once, when a window of lines has been logged or the run has ended before that."""

    def __init__(self, tell: Callable[[str], None]):
        self.tell = tell
        self.told: set[str] = set()

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        entries = _training_lines(state)
        if len(entries) >= WINDOW:
            self._look(entries, state)

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._look(_training_lines(state), state)

    def _look(self, entries: list[dict], state: TrainerState) -> None:
        if not entries or not state.is_world_process_zero:
            return
        for name, sentence in signs(entries):
            if name not in self.told:
                self.told.add(name)
                self.tell(sentence)


def _training_lines(state: TrainerState) -> list[dict]:
    return [entry for entry in state.log_history if "loss" in entry]

"""Which prompts are worth training on: those whose sampled answers are right now and then.

HERO's gate (objectives.hero): of the prompts keep those whose rewards vary most. Done beforehand it takes samples, and
any trainer can go on with the rows that are left.

Axes: N prompts, G completions of each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from causal_attrib.choices import MOST_DRAWN, MOST_TOKENS, check_count
from causal_attrib.errors import InputError
from causal_attrib.training.scoring.rewards import Reward

if TYPE_CHECKING:
    from causal_attrib.vlm import VLM


def select_prompts(rows: Sequence[dict], rewards: Sequence[Sequence[float]], keep: float = 0.6) -> list[dict]:
    """The ceil(keep * N) rows whose rewards vary most, in their order.

    Args:
        rewards: G rewards of each row, from `sample_rewards` or elsewhere.
        keep: share of the rows in (0, 1].

    Raises:
        InputError: rows and rewards do not match, or a number is out of its range.

    >>> select_prompts([{"prompt": "a"}, {"prompt": "b"}, {"prompt": "c"}], [[0, 1], [1, 1], [0, 1]], keep=0.6)
    [{'prompt': 'a'}, {'prompt': 'c'}]
    """
    sizes = {len(group) for group in rewards}
    if len(rows) != len(rewards) or len(sizes) != 1:
        raise InputError(
            f"{len(rows)} rows and {len(rewards)} lists of {sorted(sizes)} rewards do not match; give each row as many "
            "rewards as the others."
        )
    # Here and below, since it imports torch: who checks the rows need not wait for it.
    import torch

    from causal_attrib.objectives import variance_gate

    reward_B = torch.tensor(rewards, dtype=torch.float64).flatten()
    kept_N = variance_gate(reward_B, sizes.pop(), keep).tolist()
    return [row for row, kept in zip(rows, kept_N, strict=True) if kept]


def check_selection(rows: Sequence[dict], keep: float, group: int, longest: int) -> None:
    """Raises InputError for what would only show after the sampling."""
    if not 0 < keep <= 1:
        raise InputError(f"The share of prompts to keep is {keep}, but it must lie above 0 and be 1 at most.")
    if group < 2:
        raise InputError(f"Rewards vary over 2 completions or more, not {group}; raise the number of generations.")
    check_count("The number of generations", group, MOST_DRAWN)
    check_count("The largest number of tokens of a completion", longest, MOST_TOKENS)
    for number, row in enumerate(rows, start=1):
        if not isinstance(row.get("image"), str):
            raise InputError(
                f"Row {number} has several pictures, or one in the file itself; give each row the path of one picture."
            )


def sample_rewards(
    vlm: VLM,
    rows: Sequence[dict],
    reward: Reward,
    group: int = 8,
    *,
    longest: int = 256,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> list[list[float]]:
    """The rewards of G completions sampled at temperature 1 for each row, (N, G).

    Args:
        rows: from `training.data.reading`.
        reward: with TRL's signature.
        longest: tokens of a completion.
        progress: called with (rows done, rows in all).

    Raises:
        InputError: the reward has nothing to say on a row.
    """
    from causal_attrib.engine.gumbel import GumbelNoise
    from causal_attrib.training.scoring.rollout import Rollout, encode_prompt
    from causal_attrib.vlm import Continuation
    from causal_attrib.vlm.text import decode

    sampled: list[list[float]] = []
    for n, row in enumerate(rows):
        prompt = encode_prompt(vlm, Rollout(row["image"], row["prompt"], ()))
        noises = [GumbelNoise(seed, n, k) for k in range(group)]
        written = vlm.write(prompt, Continuation(()), longest, noises)
        # As TRL hands them over where prompts are conversations.
        said = [[{"role": "assistant", "content": decode(vlm.tokenizer, ids)}] for ids in written]
        columns = {name: [value] * group for name, value in row.items() if name != "prompt"}
        rewards = reward(prompts=[row["prompt"]] * group, completions=said, completion_ids=written, **columns)
        if None in rewards:
            raise InputError(f"Row {n + 1} gets no reward; add what the reward compares with, or leave the row out.")
        sampled.append([value for value in rewards if value is not None])
        if progress is not None:
            progress(n + 1, len(rows))
    return sampled

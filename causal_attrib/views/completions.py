"""Completions that were sampled in training, their tokens coloured by what is added to their advantages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from rich.console import Group
from rich.table import Table
from rich.text import Text

from causal_attrib.views import drawing
from causal_attrib.views.token_style import token_style


class ShownSample(Protocol):
    """What is read of a completion: `training.watch.completions.Sample` has it."""

    @property
    def step(self) -> int: ...

    @property
    def prompt(self) -> str: ...

    @property
    def reference(self) -> str | None: ...

    @property
    def reward(self) -> float: ...

    @property
    def advantage(self) -> float: ...

    @property
    def tokens(self) -> Sequence[str]: ...

    @property
    def added(self) -> Sequence[float] | None: ...


def completions(samples: Sequence[ShownSample]) -> Group:
    """A row per completion; blue tokens are reinforced by it, red ones held back, the strongest in full colour."""
    limit = max((abs(value) for sample in samples for value in sample.added or ()), default=0.0)
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for heading in ("reward", "advantage"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("completion")
    for sample in samples:
        written = Text()
        for t, token in enumerate(sample.tokens):
            value = sample.added[t] if sample.added is not None and limit else 0.0
            written.append(drawing.visible(token), token_style(value / limit if limit else 0.0))
        if sample.reference is not None:
            written.append(f"   (reference: {drawing.visible(sample.reference)})", "dim")
        table.add_row(f"{sample.reward:.2f}", f"{sample.advantage:+.2f}", written)
    title = f"{samples[0].prompt}" if samples else ""
    return Group(Text(drawing.visible(title), "bold"), table)

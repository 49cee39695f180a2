"""A table on a terminal that is too narrow for it: words and numbers stay whole, and columns are left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

_ANY_WIDTH = 100_000


@dataclass(frozen=True)
class Column:
    """One column.

    heading: its name; it breaks at a "|"
    cells:   one for each row
    is_text: it stands on the left
    folds:   it is broken where nothing is left to leave out
    """

    heading: str
    cells: Sequence[str | Text]
    is_text: bool = False
    folds: bool = False

    @property
    def name(self) -> str:
        return self.heading.replace("|", " ")


@dataclass(frozen=True)
class Narrowed:
    """A table for rich, which asks it for its lines and tells how wide they may be.

    dropped: names of the columns that may be left out, what goes first stands first
    instead: where all columns are found, for the line that says which were left out
    """

    columns: Sequence[Column]
    dropped: Sequence[str]
    instead: str

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        columns, left_out = list(self.columns), []
        for name in self.dropped:
            if _width(console, options, columns) <= options.max_width:
                break
            if any(column.name == name for column in columns):
                columns = [column for column in columns if column.name != name]
                left_out.append(name)
        yield _table(columns)
        if left_out:
            yield Text(f"The terminal is too narrow for {', '.join(left_out)}; {self.instead}.", "dim")


def _width(console: Console, options: ConsoleOptions, columns: Sequence[Column]) -> int:
    return Measurement.get(console, options.update(max_width=_ANY_WIDTH), _table(columns)).maximum


def _table(columns: Sequence[Column]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for column in columns:
        table.add_column(
            column.heading.replace("|", "\n"),
            justify="left" if column.is_text else "right",
            overflow="fold" if column.folds else "ellipsis",
            min_width=5 if column.folds else None,
            no_wrap=not column.folds,
        )
    for row in zip(*(column.cells for column in columns), strict=True):
        table.add_row(*row)
    return table

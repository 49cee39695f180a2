"""What every benchmark gives back: its numbers as JSON and as a table, with what they were measured with."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import TYPE_CHECKING, ClassVar

from causal_attrib.evaluation.intervals import Estimate
from causal_attrib.io.model_options import check_choice
from causal_attrib.version import __version__

if TYPE_CHECKING:
    import pandas as pd

    from causal_attrib.vlm import VLM

FileName = str | os.PathLike[str]


@dataclass(frozen=True)
class Result(ABC):
    """The result of a benchmark.

    settings: what it was measured with
    warnings: what a reader of the numbers should know, in sentences
    """

    benchmark: ClassVar[str]
    unit: ClassVar[str] = "percent"

    settings: Mapping[str, object]
    warnings: list[str]

    @abstractmethod
    def numbers(self) -> dict[str, object]:
        """The numbers by the name that they have in JSON."""

    @abstractmethod
    def to_frame(self) -> pd.DataFrame:
        """A row for each thing that was scored; the interval of a number NAME is in `NAME_low` and `NAME_high`."""

    def to_dict(self) -> dict[str, object]:
        """The whole result as JSON holds it, which is what `--json` prints."""
        return {
            "schema": 1,
            "benchmark": self.benchmark,
            "unit": self.unit,
            "settings": plain(self.settings),
            **{name: plain(number) for name, number in self.numbers().items()},
            "warnings": self.warnings,
            "tool": {"name": "copo", "version": __version__},
        }


def plain(value: object) -> object:
    """Results as JSON holds them: dataclasses as objects, tuples as lists, paths as text."""
    if is_dataclass(value):
        return plain_fields(value)
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    return value


def plain_fields(scores: object) -> dict[str, object]:
    """A dataclass as JSON holds it."""
    return {field.name: plain(getattr(scores, field.name)) for field in fields(scores)}  # type: ignore[arg-type]


def columns(scores: object) -> dict[str, object]:
    """A dataclass of scores as a row of a table: an interval is two more columns; lists and the like are left out."""
    row: dict[str, object] = {}
    for field in fields(scores):  # type: ignore[arg-type]
        value = getattr(scores, field.name)
        if isinstance(value, Estimate):
            row |= interval_columns(field.name, value)
        elif isinstance(value, (str, int, float)):
            row[field.name] = value
    return row


def interval_columns(name: str, estimate: Estimate) -> dict[str, float | None]:
    """A number and the ends of its interval by the name of their columns.

    >>> interval_columns("f1", Estimate(50.0, 25.0, 75.0))
    {'f1': 50.0, 'f1_low': 25.0, 'f1_high': 75.0}
    """
    return {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}


def frame(rows: Iterable[dict[str, object]]) -> pd.DataFrame:
    """Rows as a table; a number that is not known is NaN."""
    import pandas as pd

    table = pd.DataFrame(list(rows))
    # A column of numbers in which all are unknown is one of numbers all the same.
    unknown = [name for name in table.columns if table[name].isna().all()]
    return table.astype(dict.fromkeys(unknown, float))


def loaded(model: str | VLM | Callable[[], VLM] | None) -> VLM:
    """The model, loaded if it is not. That one is not there is told before torch is imported."""
    if callable(model):
        return model()
    if model is None or isinstance(model, str | os.PathLike):
        check_choice(model)
    from causal_attrib.vlm import VLM, load

    return model if isinstance(model, VLM) else load(model)

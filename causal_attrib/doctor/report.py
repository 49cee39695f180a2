"""What an examination finds."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

SCHEMA = 1


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    name:      what, in a word or two
    passed:    None where it was skipped
    detail:    what the result means and, where it failed, what to do; where it was skipped, why
    measured:  the number it was judged by; None where there is none
    bound:     how `measured` was held against `tolerance`: "at most" or "at least"
    tolerance: what is allowed
    unit:      of both
    warns:     it passed, and what was measured is worth a warning: scores are right and may say little
    """

    name: str
    passed: bool | None
    detail: str
    measured: float | None = None
    bound: str = ""
    tolerance: float | None = None
    unit: str = ""
    warns: bool = False

    @classmethod
    def at_most(cls, name: str, measured: float, tolerance: float, unit: str, *, good: str, bad: str) -> Check:
        """Passed if `measured` is no larger than `tolerance` (NaN is not)."""
        passed = measured <= tolerance
        return cls(name, passed, good if passed else bad, measured, "at most", tolerance, unit)

    @classmethod
    def at_least(cls, name: str, measured: float, tolerance: float, unit: str, *, good: str, bad: str) -> Check:
        """Passed if `measured` is no smaller than `tolerance` (NaN is not)."""
        passed = measured >= tolerance
        return cls(name, passed, good if passed else bad, measured, "at least", tolerance, unit)

    @classmethod
    def skipped(cls, name: str, why: str) -> Check:
        return cls(name, None, why)

    def to_dict(self) -> dict:
        # JSON has no infinity and no NaN.
        finite = None if self.measured is None or not math.isfinite(self.measured) else self.measured
        return {**asdict(self), "measured": finite}


@dataclass(frozen=True)
class Report:
    """All checks of one examination, and the records of the model and the tool as in a saved `Attribution`."""

    checks: tuple[Check, ...]
    model: dict
    tool: dict

    @property
    def passed(self) -> bool:
        """Whether no check failed."""
        return all(check.passed is not False for check in self.checks)

    def to_dict(self) -> dict:
        return {
            "schema": SCHEMA,
            "model": self.model,
            "passed": self.passed,
            "checks": [check.to_dict() for check in self.checks],
            "tool": self.tool,
        }

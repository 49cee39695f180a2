"""How good verdicts are on captions of which it is known which words are false."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from causal_attrib.evaluation.verdict.benchmark import VerdictResult, evaluate

__all__ = ["VerdictResult", "evaluate"]


def __getattr__(name: str) -> object:
    if name in __all__:
        from causal_attrib.evaluation.verdict import benchmark

        return getattr(benchmark, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)

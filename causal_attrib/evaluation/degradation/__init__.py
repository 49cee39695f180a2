"""Pictures made worse step by step: what becomes of accuracy and confidence."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from causal_attrib.evaluation.degradation.benchmark import DegradationResult, evaluate

__all__ = ["DegradationResult", "evaluate"]


def __getattr__(name: str) -> object:
    if name in __all__:
        from causal_attrib.evaluation.degradation import benchmark

        return getattr(benchmark, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)

"""CHAIR: which of the objects that captions name are not in the image."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from causal_attrib.evaluation.chair.benchmark import ChairResult, evaluate

__all__ = ["ChairResult", "evaluate"]


def __getattr__(name: str) -> object:
    if name in __all__:
        from causal_attrib.evaluation.chair import benchmark

        return getattr(benchmark, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)

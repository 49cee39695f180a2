"""Which signal tells the words that a model hallucinated from those that the picture bears out."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from causal_attrib.evaluation.detection.benchmark import DetectionResult, evaluate

__all__ = ["DetectionResult", "evaluate"]


def __getattr__(name: str) -> object:
    if name in __all__:
        from causal_attrib.evaluation.detection import benchmark

        return getattr(benchmark, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)

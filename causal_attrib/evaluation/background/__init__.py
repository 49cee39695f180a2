"""How much of an answer's saliency lies on the background, and what a swap of the background does."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from causal_attrib.evaluation.background.benchmark import BackgroundResult, evaluate

__all__ = ["BackgroundResult", "evaluate"]


def __getattr__(name: str) -> object:
    if name in __all__:
        from causal_attrib.evaluation.background import benchmark

        return getattr(benchmark, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)

"""Pictures made worse step by step: what becomes of accuracy and confidence."""

from typing import TYPE_CHECKING

from causal_attrib.lazy import lazily

if TYPE_CHECKING:
    from causal_attrib.evaluation.degradation.benchmark import DegradationResult, evaluate
else:
    __getattr__, __dir__ = lazily(__name__, {"DegradationResult": "benchmark", "evaluate": "benchmark"})

__all__ = ["DegradationResult", "evaluate"]

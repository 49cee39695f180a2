"""Which signal tells the words that a model hallucinated from those that the picture bears out."""

from typing import TYPE_CHECKING

from causal_attrib.lazy import lazily

if TYPE_CHECKING:
    from causal_attrib.evaluation.detection.benchmark import DetectionResult, evaluate
else:
    __getattr__, __dir__ = lazily(__name__, {"DetectionResult": "benchmark", "evaluate": "benchmark"})

__all__ = ["DetectionResult", "evaluate"]

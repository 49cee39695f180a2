"""AMBER: captions and yes/no questions on one set of images."""

from typing import TYPE_CHECKING

from causal_attrib.lazy import lazily

if TYPE_CHECKING:
    from causal_attrib.evaluation.amber.benchmark import AmberResult, evaluate
else:
    __getattr__, __dir__ = lazily(__name__, {"AmberResult": "benchmark", "evaluate": "benchmark"})

__all__ = ["AmberResult", "evaluate"]

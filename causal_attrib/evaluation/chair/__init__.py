"""CHAIR: which of the objects that captions name are not in the image."""

from typing import TYPE_CHECKING

from causal_attrib.lazy import lazily

if TYPE_CHECKING:
    from causal_attrib.evaluation.chair.benchmark import ChairResult, evaluate
else:
    __getattr__, __dir__ = lazily(__name__, {"ChairResult": "benchmark", "evaluate": "benchmark"})

__all__ = ["ChairResult", "evaluate"]

"""How much of an answer's saliency lies on the background, and what a swap of the background does."""

from typing import TYPE_CHECKING

from causal_attrib.lazy import lazily

if TYPE_CHECKING:
    from causal_attrib.evaluation.background.benchmark import BackgroundResult, evaluate
else:
    __getattr__, __dir__ = lazily(__name__, {"BackgroundResult": "benchmark", "evaluate": "benchmark"})

__all__ = ["BackgroundResult", "evaluate"]

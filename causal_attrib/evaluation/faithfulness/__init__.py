"""Does a map point at what the model uses? Curves, controls, proofs, rankings on scenes."""

from typing import TYPE_CHECKING

from causal_attrib.lazy import lazily

if TYPE_CHECKING:
    from causal_attrib.evaluation.faithfulness.benchmark import FaithfulnessResult, evaluate
else:
    __getattr__, __dir__ = lazily(__name__, {"FaithfulnessResult": "benchmark", "evaluate": "benchmark"})

__all__ = ["FaithfulnessResult", "evaluate"]

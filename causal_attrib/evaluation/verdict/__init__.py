"""How good verdicts are on captions of which it is known which words are false."""

from typing import TYPE_CHECKING

from causal_attrib.lazy import lazily

if TYPE_CHECKING:
    from causal_attrib.evaluation.verdict.benchmark import VerdictResult, evaluate
else:
    __getattr__, __dir__ = lazily(__name__, {"VerdictResult": "benchmark", "evaluate": "benchmark"})

__all__ = ["VerdictResult", "evaluate"]

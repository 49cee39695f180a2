"""POPE and other yes/no questions."""

from typing import TYPE_CHECKING

from causal_attrib.lazy import lazily

if TYPE_CHECKING:
    from causal_attrib.evaluation.pope.benchmark import PopeResult, evaluate
else:
    __getattr__, __dir__ = lazily(__name__, {"PopeResult": "benchmark", "evaluate": "benchmark"})

__all__ = ["PopeResult", "evaluate"]

"""Files of captions: score them, merge shards, compare two models."""

from typing import TYPE_CHECKING

from causal_attrib.lazy import lazily

if TYPE_CHECKING:
    from causal_attrib.batch.scorer import Scorer
else:
    __getattr__, __dir__ = lazily(__name__, {"Scorer": "scorer"})

__all__ = ["Scorer"]

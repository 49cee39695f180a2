"""Any vision-language model behind one face: pictures, texts, encodings, forwards."""

from typing import TYPE_CHECKING

import causal_attrib.vlm.torchvision  # noqa: F401  (first: it sets a broken torchvision aside)
from causal_attrib.lazy import lazily

if TYPE_CHECKING:
    from causal_attrib.vlm.continuation import Continuation
    from causal_attrib.vlm.encoding import Encoding
    from causal_attrib.vlm.in_memory import load
    from causal_attrib.vlm.model import VLM
    from causal_attrib.vlm.write import Noise
else:
    # transformers takes seconds to import, and `copo env` looks at torchvision alone.
    __getattr__, __dir__ = lazily(
        __name__,
        {"VLM": "model", "Continuation": "continuation", "Encoding": "encoding", "Noise": "write", "load": "in_memory"},
    )

__all__ = ["VLM", "Continuation", "Encoding", "Noise", "load"]

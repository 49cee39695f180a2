"""Any vision-language model behind one face: pictures, texts, encodings, forwards."""

import causal_attrib.vlm.torchvision  # noqa: F401  (first: it sets a broken torchvision aside)
from causal_attrib.vlm.continuation import Continuation
from causal_attrib.vlm.encoding import Encoding
from causal_attrib.vlm.in_memory import load
from causal_attrib.vlm.model import VLM
from causal_attrib.vlm.write import Noise

__all__ = ["VLM", "Continuation", "Encoding", "Noise", "load"]

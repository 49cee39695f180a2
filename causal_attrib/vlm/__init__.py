"""Any vision-language model behind one face: pictures, texts, encodings, forwards."""

from causal_attrib.vlm.encoding import Encoding
from causal_attrib.vlm.loading import load
from causal_attrib.vlm.model import VLM, Row

__all__ = ["VLM", "Encoding", "Row", "load"]

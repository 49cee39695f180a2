"""A vision-language model behind one face: encode, read, write."""

from __future__ import annotations

from causal_attrib.vlm.read import Reader
from causal_attrib.vlm.write import Writer


class VLM(Reader, Writer):
    """A loaded model with its processor: any transformers model that turns a picture and text into text.

    It encodes pictures and texts (`causal_attrib.vlm.encode`), reads logits (`.read`) and writes (`.write`); what the
    three share is in `.loaded`.

    Use `causal_attrib.load` to make one; the constructor takes a model and processor that are already in memory.
    The model is put in eval mode, since dropout would make scores random.
    """

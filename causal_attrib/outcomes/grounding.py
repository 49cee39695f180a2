"""How much the picture speaks for the caption."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from causal_attrib.choices import OutcomeWords
from causal_attrib.outcomes.base import Probe, Reading
from causal_attrib.vlm import VLM, Encoding
from causal_attrib.vlm.text import spans_of_ids
from causal_attrib.words.claims import is_content
from causal_attrib.words.segmentation import Span, word_of_each


@dataclass(frozen=True)
class Grounding:
    """r = s( (1/T) * sum_t [ log p(o_t | picture, o_<t) - log p(o_t | reference image, o_<t) ] ), s the logistic.

    The sum runs over the tokens of the caption that an edit left visible; T is the length of the unedited caption, so
    a token that the picture neither helps nor hurts leaves r as it is, and r of the empty caption is 0.5. Our outcome
    for captions (the COPO paper leaves r() for captions open). Range [0, 1].

    The reference image is the encoding's: one colour, or the picture itself blurred, against which what the place alone
    suggests counts for nothing.

    With content words only, both the sum and T are over the tokens of words that claim something (`words.claims`), of a
    sampled completion those of its own text. What a caption leaves out makes the model expect another word next, mostly
    a function word ("on" where it would have said "and"): that then counts against nothing.

    against:   which of them it is
    words:     "all" or "content"
    tokenizer: what tells the words of completions
    """

    against: str = "colour"
    words: OutcomeWords = "all"
    tokenizer: PreTrainedTokenizerBase | None = field(default=None, repr=False, compare=False)
    name: ClassVar[str] = "grounding"
    needs_text: ClassVar[bool] = False

    @property
    def meaning(self) -> str:
        held = ", held against itself blurred," if self.against == "blur" else ""
        which = "visible content words" if self.words == "content" else "visible words"
        return f"how much the image{held} raises the likelihood of the caption's {which} (0.5: not at all)"

    def probes(self, vlm: VLM, encoding: Encoding) -> tuple[Probe, ...]:
        return Probe(), Probe(reference=True)

    def __call__(self, readings: tuple[Reading, ...], encoding: Encoding) -> float:
        seen, unseen = (self._summed(reading, encoding) for reading in readings)
        return torch.sigmoid((seen - unseen) / self.length(encoding)).item()

    def length(self, encoding: Encoding) -> int:
        """T; 1 for a caption without a word that counts, whose sum is 0."""
        return len(encoding.response_ids) if self.words == "all" else max(len(content_tokens(encoding)), 1)

    def _summed(self, reading: Reading, encoding: Encoding) -> Tensor:
        if self.words == "all":
            return reading.response_T.sum()
        counted = content_tokens(encoding)
        if reading.completed is not None:
            assert self.tokenizer is not None  # whoever samples and counts content words gives it
            text, spans = spans_of_ids(self.tokenizer, reading.completed)
            counted = _content(text, spans, word_of_each(text, spans))
        return reading.response_T[[at for at, place in enumerate(reading.places) if place in counted]].sum()


@functools.lru_cache(maxsize=8)
def _content(response: str, spans: tuple[Span, ...], words: tuple[int, ...]) -> frozenset[int]:
    text_of: dict[int, str] = {}
    for span, word in zip(spans, words, strict=True):
        text_of[word] = text_of.get(word, "") + response[slice(*span)]
    claiming = {word for word, text in text_of.items() if is_content(text.strip())}
    return frozenset(t for t, word in enumerate(words) if word in claiming)


def content_tokens(encoding: Encoding) -> frozenset[int]:
    """The tokens of the response whose words claim something of the picture."""
    return _content(encoding.response, encoding.spans, encoding.words)

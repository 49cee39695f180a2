"""Would the model name the object if it described the picture anew, and the picture mirrored, and parts of it?

    naming             log mean_c [ 1 - prod_t (1 - p(o | v_c, c_<t)) ]
    naming_evidence    the same less that behind a picture of one colour

c are captions that the model draws at temperature 1, `DRAWS` behind each of four views of the picture: itself, its
mirror image, and its upper left and lower right part of `PART` of each side, the latter mirrored. p(o | v, c_<t) is the
probability that the word behind c_<t is one for the object o. The bracket is the probability that o is named at least
once if each word of c is drawn anew, so that a caption speaks also for what it almost named: that is `consistency`, the
share of captions that name o (as in SelfCheckGPT, Manakul et al., arXiv 2303.08896), with less noise. The views ask
whether it rests on the object or on one arrangement of pixels (test-time augmentation).

Nats: <= 0, and any sign. It costs four times `DRAWS` captions to be drawn and read again, and twice `DRAWS` more behind
the colour, once for each picture whatever the number of its objects.

Words count that are one token of the vocabulary, so a token that begins a longer word ("car" of "carpet") counts too.
For an object that no token names by itself the bracket is whether the caption names it, and half a caption is added to
those that do and one to all.
"""

from __future__ import annotations

import functools
import math
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from PIL import Image, ImageOps
from torch import Tensor

from causal_attrib.engine import Engine, choose_engine
from causal_attrib.engine.base import Draft
from causal_attrib.engine.gumbel import GumbelNoise
from causal_attrib.vlm import VLM, Continuation, Encoding
from causal_attrib.vlm.text import decode
from causal_attrib.words.matcher import Matcher

DRAWS, PART = 5, 0.85


@dataclass
class Namer:
    """Measures it for the objects of one picture after another.

    longest: tokens of a drawn caption
    """

    vlm: VLM
    matcher: Matcher
    longest: int
    seed: int = 0
    _engine: Engine | None = None

    @functools.cached_property
    def tokens_of(self) -> dict[str, list[int]]:
        return tokens_naming(self.vlm.tokenizer.get_vocab(), self.matcher)

    def measure(self, encoding: Encoding, objects: Iterable[str], stream: str) -> dict[str, tuple[float, float]]:
        """Log-probability that each object is named behind the views of the picture, and behind one colour.

        Args:
            encoding: a caption of the picture; what it says does not matter.
            stream: the same for the same picture; the draws of different streams are independent.
        """
        objects = list(objects)
        behind = [
            self.vlm.encode(one, encoding.prompt, encoding.response_ids) for one in views(encoding.picture.pixels)
        ]
        seen = [
            row
            for number, view in enumerate(behind)
            for row in self._drawn(view, False, DRAWS, f"{stream} {number}", objects)
        ]
        unseen = self._drawn(behind[0], True, 2 * DRAWS, f"{stream} unseen", objects)
        return {
            one: (self._log_mean(one, [row[one] for row in seen]), self._log_mean(one, [row[one] for row in unseen]))
            for one in objects
        }

    @torch.no_grad()
    def _drawn(
        self, encoding: Encoding, reference: bool, count: int, stream: str, objects: Sequence[str]
    ) -> list[dict[str, float]]:
        """What each of `count` new captions says of each object."""
        begin, number = Continuation((), reference=reference), zlib.crc32(stream.encode())
        drafts = [Draft(encoding, begin, self.longest, GumbelNoise(self.seed, number, k)) for k in range(count)]
        if self._engine is None:
            self._engine = choose_engine("auto", self.vlm, encoding)
        written = self._engine.write(drafts)
        rows = [Continuation(ids, reference=reference) for ids in written]
        found = []
        for row, logits_TV in zip(rows, self.vlm.read(encoding, rows), strict=True):
            named = {mention.node for mention in self.matcher.mentions(decode(self.vlm.tokenizer, row.ids))}
            logprobs_TV = logits_TV.log_softmax(-1)
            found.append(
                {
                    one: at_least_once(logprobs_TV[:, self.tokens_of[one]])
                    if one in self.tokens_of
                    else float(one in named)
                    for one in objects
                }
            )
        return found

    def _log_mean(self, one: str, values: Sequence[float]) -> float:
        if one in self.tokens_of:
            # Less than float64 tells from 0.
            return math.log(max(sum(values) / len(values), 1e-16))
        return math.log((sum(values) + 0.5) / (len(values) + 1))


def views(picture: Image.Image) -> list[Image.Image]:
    """The picture, its mirror image, its upper left part, and its lower right part mirrored."""
    width, height = (max(1, round(PART * side)) for side in picture.size)
    upper = picture.crop((0, 0, width, height))
    lower = picture.crop((picture.width - width, picture.height - height, picture.width, picture.height))
    return [picture, ImageOps.mirror(picture), upper, ImageOps.mirror(lower)]


def tokens_naming(vocabulary: Mapping[str, int], matcher: Matcher) -> dict[str, list[int]]:
    """Tokens that name an object by themselves, at the beginning of a word, by object."""
    # Byte-level and SentencePiece tokenizers mark where a word begins, WordPiece ("##") where it does not.
    mark = next((one for one in ("\u0120", "\u2581") if any(piece.startswith(one) for piece in vocabulary)), "")
    found: dict[str, list[int]] = {}
    for piece, token in sorted(vocabulary.items()):
        word = piece.removeprefix(mark)
        if piece.startswith(mark) and len(word) > 1 and word.isascii() and word.isalpha():
            for mention in matcher.mentions(word):
                found.setdefault(mention.node, []).append(token)
    return found


def at_least_once(logprobs_TK: Tensor) -> float:
    """Probability that one of K tokens comes at one of T places, where it has these log-probabilities.

    >>> round(at_least_once(torch.tensor([[0.25, 0.25], [0.2, 0.0]]).log()), 4)
    0.6
    """
    p_T = logprobs_TK.double().exp().sum(-1).clamp(max=1 - 1e-12)
    return -math.expm1(torch.log1p(-p_T).sum().item())

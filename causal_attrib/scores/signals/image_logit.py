"""Logit of the word at image tokens: does any part of the picture resemble the word as it enters the language model?

    image_logit         s_t = max over image tokens n of <w[y_t], h_n>
    image_logit_gain    s_t less the same behind a picture of one colour
    image_logit_views   mean over views v of max over image tokens n and tokens y that name the object of <w[y], h_vn>

h_n is image token n where it enters the language model, w[y] the output layer's row of the word. This is the logit lens
of Jiang et al. (arXiv 2410.02762; `logit_lens`) at the entrance alone and without the softmax, so that other things in
the picture take nothing from the word. Any sign, in units of the model's own logits, hence not to be compared between
models; the gain takes off what a word has behind every picture. The views are those of `naming`: what is no object but
one arrangement of pixels seldom stays when the picture is mirrored or cut. One forward, one more behind the colour, and
one for each of four views, which serve all objects of the picture.

It says something only of models whose image tokens lie near the embeddings of words for what they show.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from causal_attrib.errors import InputError
from causal_attrib.scores.signals.naming import views
from causal_attrib.scores.signals.readings import Readings
from causal_attrib.vlm import VLM, Encoding


def image_logit(readings: Readings) -> np.ndarray:
    return _largest(readings, reference=False).double().cpu().numpy()


def image_logit_gain(readings: Readings) -> np.ndarray:
    seen_T, unseen_T = (_largest(readings, reference=reference) for reference in (False, True))
    return (seen_T - unseen_T).double().cpu().numpy()


@torch.no_grad()
def image_logit_views(
    vlm: VLM, encoding: Encoding, objects: Iterable[str], tokens_of: Mapping[str, Sequence[int]]
) -> dict[str, float]:
    """Of each object of a picture.

    Args:
        encoding: a caption of the picture; what it says does not matter.
        tokens_of: by `naming.tokens_naming`; an object that no token names goes by the first piece of its name.
    """
    ids_of = {one: tokens_of.get(one) or _first_piece(vlm, one) for one in objects}
    behind = [vlm.encode(view, encoding.prompt, encoding.response_ids) for view in views(encoding.picture.pixels)]
    logit_vV = torch.stack([_logits(Readings(vlm, view), reference=False).amax(0) for view in behind])
    return {one: logit_vV[:, list(ids)].amax(1).mean().item() for one, ids in ids_of.items()}


def _first_piece(vlm: VLM, name: str) -> Sequence[int]:
    return vlm.tokenizer(f" {name}", add_special_tokens=False)["input_ids"][:1]


def _largest(readings: Readings, *, reference: bool) -> Tensor:
    """Logit (T,) of each token at the image token that has most of it."""
    return _logits(readings, reference=reference)[:, readings.ids_T].amax(0)


@torch.no_grad()
def _logits(readings: Readings, *, reference: bool) -> Tensor:
    """Logits (N, V), float32, of the vocabulary at each image token."""
    tokens_ND = readings.image_tokens(reference)
    weight_VD = next(readings.head.parameters())
    width = weight_VD.shape[-1]
    if tokens_ND.shape[-1] < width:
        raise InputError(
            f"Image tokens enter {readings.vlm.name} with {tokens_ND.shape[-1]} features and words with {width}, so "
            "that they cannot be compared; leave out the signals image_logit and image_logit_gain."
        )
    # What enters deeper layers too is appended to what enters first.
    return readings.head(tokens_ND[:, :width].to(weight_VD.dtype)).float()

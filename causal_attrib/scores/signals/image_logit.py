"""Logit of the word at image tokens: does any part of the picture resemble the word as it enters the language model?

    image_logit         s_t = max over image tokens n of <w[y_t], h_n>
    image_logit_gain    s_t less the same behind a picture of one colour

h_n is image token n where it enters the language model, w[y] the output layer's row of the word. This is the logit lens
of Jiang et al. (arXiv 2410.02762; `logit_lens`) at the entrance alone and without the softmax, so that other things in
the picture take nothing from the word. Any sign, in units of the model's own logits, hence not to be compared between
models; the gain takes off what a word has behind every picture. One forward, and one more behind the colour.

It says something only of models whose image tokens lie near the embeddings of words for what they show.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from causal_attrib.errors import InputError
from causal_attrib.scores.signals.readings import Readings


def image_logit(readings: Readings) -> np.ndarray:
    return _largest(readings, reference=False).double().cpu().numpy()


def image_logit_gain(readings: Readings) -> np.ndarray:
    seen_T, unseen_T = (_largest(readings, reference=reference) for reference in (False, True))
    return (seen_T - unseen_T).double().cpu().numpy()


@torch.no_grad()
def _largest(readings: Readings, *, reference: bool) -> Tensor:
    """Logit (T,) of each token at the image token that has most of it."""
    tokens_ND = readings.image_tokens(reference)
    weight_VD = next(readings.head.parameters())
    width = weight_VD.shape[-1]
    if tokens_ND.shape[-1] < width:
        raise InputError(
            f"Image tokens enter {readings.vlm.name} with {tokens_ND.shape[-1]} features and words with {width}, so "
            "that they cannot be compared; leave out the signals image_logit and image_logit_gain."
        )
    # What enters deeper layers too is appended to what enters first.
    logits_NV = readings.head(tokens_ND[:, :width].to(weight_VD.dtype)).float()
    return logits_NV[:, readings.ids_T].amax(0)

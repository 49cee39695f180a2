"""Asking the model: is there one in the image?

    p_yes         P(yes) / (P(yes) + P(no)) as the reply to "Is there a dog in the image?"
    p_yes_gain    the same less what it is behind the reference image: what the picture adds to the answer

The question is POPE's (Li et al., 2023). Both replies are read whole, so that models which split "yes" are served too.
0 to 1, and -1 to 1. One forward for each noun, and one more behind the reference image.
"""

from __future__ import annotations

import torch

from causal_attrib.io.pictures import ImageLike
from causal_attrib.vlm import VLM, Continuation
from causal_attrib.vlm.encoding import Encoding

QUESTION = "Is there {article} {noun} in the image?"


def ask(vlm: VLM, image: ImageLike, noun: str, *, reference: str = "colour") -> tuple[float, float]:
    """P(yes) behind the picture, and behind its reference image."""
    question = QUESTION.format(article="an" if noun[:1].lower() in "aeiou" else "a", noun=noun)
    yes, no = (vlm.encode(image, question, answer, against=reference) for answer in ("yes", "no"))
    return _p_yes(vlm, yes, no, False), _p_yes(vlm, yes, no, True)


def _p_yes(vlm: VLM, yes: Encoding, no: Encoding, reference: bool) -> float:
    rows = [Continuation(encoding.response_ids, reference=reference) for encoding in (yes, no)]
    summed = []
    for row, logits_TV in zip(rows, vlm.read(yes, rows), strict=True):
        ids_T = torch.tensor(row.ids, device=logits_TV.device)
        summed.append(logits_TV[:-1].log_softmax(-1).gather(-1, ids_T[:, None]).sum())
    return torch.sigmoid(summed[0] - summed[1]).item()

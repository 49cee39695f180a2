"""Summed visual attention ratio: how much of its attention the state that is about to say a word gives the picture.

    SVAR_t = sum over layers l from 5/32 to 18/32 of the depth of (1/H) sum_h sum_n a_lh(t, n)

Jiang et al., "Devils in Middle Layers of Large Vision-Language Models" (arXiv 2411.16724, equations 2 and 3), whose
layers are 5 to 18 of LLaVA's 32. a_lh(t, n) is what head h of layer l at the position that predicts token t gives to
image token n. At least 0 and at most the number of layers; one forward with eager attention.
"""

from __future__ import annotations

import numpy as np

from causal_attrib.scores.signals.readings import Readings

FIRST, LAST = 5 / 32, 18 / 32


def attention_ratio(readings: Readings) -> np.ndarray:
    ratio_LT = readings.attention_LHTN.sum(-1).mean(1)
    depth = len(ratio_LT)
    first = min(round(FIRST * depth), depth - 1)
    return ratio_LT[first : max(first, round(LAST * depth)) + 1].sum(0).double().cpu().numpy()

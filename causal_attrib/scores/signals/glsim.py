"""GLSim: does the state that is about to say the word resemble what the model read, as a whole and where it looks?

    score  = w * global + (1 - w) * local                                 w = 0.6
    global = cos( h^a(q), h^b(t) )                                        q: the last token of the instruction
    local  = mean over the K image tokens n that say the word most of cos( h^a(t), h^b(n) )        K = 32

Park and Li, "GLSim: Detecting Object Hallucinations in LVLMs via Global-Local Similarity" (arXiv 2508.19972) and its
code: h^l is the hidden state behind layer l, b the last layer and a the one before it, t the position that predicts the
word, and an image token says a word as the logit lens at layer b reads it. -1 to 1, higher means truer; one forward.
With fewer than 4 K image tokens, K is a quarter of them.
"""

from __future__ import annotations

import numpy as np
import torch

from causal_attrib.scores.signals.logit_lens import lens
from causal_attrib.scores.signals.readings import Readings

WEIGHT, MOST = 0.6, 32


@torch.no_grad()
def glsim(readings: Readings) -> np.ndarray:
    hidden_LPD, image_N = readings.hidden_LPD, readings.image_N
    unit_LPD = torch.nn.functional.normalize(hidden_LPD[-2:], dim=-1)
    before_PD, last_PD = unit_LPD
    said_TD, asked = readings.predicts_T, readings.predicts_T[0]
    global_T = last_PD[said_TD] @ before_PD[asked]
    says_NT = lens(hidden_LPD[-1][image_N], readings.head, readings.ids_T)
    count = max(1, min(MOST, len(image_N) // 4))
    top_KT = says_NT.topk(count, dim=0).indices
    patches_KTD = last_PD[image_N][top_KT]
    local_T = torch.einsum("td,ktd->kt", before_PD[said_TD], patches_KTD).mean(0)
    return (WEIGHT * global_T + (1 - WEIGHT) * local_T).double().cpu().numpy()

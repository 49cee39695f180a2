"""Logit lens on image tokens: does any part of the picture, read by the model's own output layer, say the word?

    c_t = max over layers l and image tokens n of softmax(W h_ln)[y_t]

"Internal confidence" of Jiang et al. (arXiv 2410.02762, section 3; their code): W is the output layer, h_ln the hidden
state of image token n behind layer l as it is, without the model's last normalisation. 0 to 1; one forward.

Axes: L layers, N image tokens, T tokens, V vocabulary, D width.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from causal_attrib.scores.signals.readings import Readings


@torch.no_grad()
def logit_lens(readings: Readings) -> np.ndarray:
    image_N, head = readings.image_N, readings.head
    best_T = torch.zeros(len(readings.ids), device=readings.ids_T.device)
    for hidden_PD in readings.hidden_LPD:
        best_T = torch.maximum(best_T, lens(hidden_PD[image_N], head, readings.ids_T).amax(0))
    return best_T.double().cpu().numpy()


def lens(hidden_ND: Tensor, head: torch.nn.Module, ids_T: Tensor) -> Tensor:
    """Probability (N, T), float32, that the output layer gives each of `ids_T` at each hidden state."""
    weight = next(head.parameters())
    logits_NV = head(hidden_ND.to(weight.dtype)).float()
    return (logits_NV[:, ids_T] - logits_NV.logsumexp(-1, keepdim=True)).exp()

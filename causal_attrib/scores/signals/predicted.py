"""What the model's own prediction says of a token: free, since scoring reads it anyway.

logprob    log p(token | picture, what precedes)                                                nats, <= 0
entropy    H of the prediction in its place                                                     nats, >= 0
margin     log p of the likeliest token less log p of the second likeliest (top-2 margin)       nats, >= 0
rank       how many tokens were likelier than the one that was written                          0, 1, ...
position   its place in the caption as a share of the caption's length                          0 to 1
"""

from __future__ import annotations

import numpy as np
import torch

from causal_attrib.scores.signals.readings import Readings


def logprob(readings: Readings) -> np.ndarray:
    return readings.logprob_T.double().cpu().numpy()


def entropy(readings: Readings) -> np.ndarray:
    # A log-probability of -inf has probability 0 and adds nothing.
    return torch.special.entr(readings.logprobs_TV.exp()).sum(-1).double().cpu().numpy()


def margin(readings: Readings) -> np.ndarray:
    first_T2 = readings.logprobs_TV.topk(2, dim=-1).values
    return (first_T2[:, 0] - first_T2[:, 1]).double().cpu().numpy()


def rank(readings: Readings) -> np.ndarray:
    return (readings.logprobs_TV > readings.logprob_T[:, None]).sum(-1).double().cpu().numpy()


def position(readings: Readings) -> np.ndarray:
    count = len(readings.ids)
    return np.arange(count) / count

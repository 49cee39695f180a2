"""How sure the model was of each token."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def logprob_and_entropy(logits_TV: Tensor, ids: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Log-probability of each token and entropy of the distribution it was drawn from, in nats.

    H_t = - sum_y p_t(y) log p_t(y) over the full vocabulary, softmax in float32 at temperature 1 (HERO's DEP). Range of
    the entropy [0, log V], of the log-probability (-inf, 0].

    Args:
        logits_TV: entry t holds the logits that predict `ids[t]`.

    Returns:
        Log-probabilities (T,) and entropies (T,).

    >>> logprob, entropy = logprob_and_entropy(torch.zeros(1, 4), (2,))
    >>> logprob.round(4).tolist(), entropy.round(4).tolist()
    ([-1.3863], [1.3863])
    """
    logprob_TV = logits_TV.float().log_softmax(-1)
    ids_T = torch.tensor(ids, dtype=torch.long, device=logits_TV.device)
    logprob_T = logprob_TV.gather(-1, ids_T[:, None])[:, 0]
    # A logit of -inf has probability 0 and adds nothing; 0 * -inf would be NaN.
    entropy_T = torch.special.entr(logprob_TV.exp()).sum(-1)
    return logprob_T.double().cpu().numpy(), entropy_T.double().cpu().numpy()

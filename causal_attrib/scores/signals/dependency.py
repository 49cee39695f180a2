"""How much the prediction of a token depends on the picture: one forward more, behind a reference image.

With p the prediction behind the picture, q that behind the reference image, and y the token that was written:

    evidence      log p(y) - log q(y): pointwise mutual information of token and picture (Church & Hanks, 1990), and the
                  quantity of visual contrastive decoding (arXiv 2311.16922)                nats, any sign
    kl            KL(p || q) = sum_v p(v) (log p(v) - log q(v)): visual dependency over the vocabulary (PGPO, arXiv
                  2604.01840)                                                               nats, >= 0
    k3            e^d - d - 1 with d = log q(y) - log p(y) clamped to [-20, 20], itself clamped to [0, 10]: its estimate
                  on the token that was written (VPPO, arXiv 2510.09285)                    0 to 10
    prior         log q(y): how likely the token is without the picture                     nats, <= 0

Where a reference has several draws, each is their mean.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from causal_attrib.scores.signals.readings import Readings

CLAMP_D, CLAMP_K3 = 20.0, 10.0


def evidence(readings: Readings, reference: str) -> np.ndarray:
    return _mean([readings.logprob_T - readings.written(other_TV) for other_TV in readings.behind(reference)])


def prior(readings: Readings, reference: str) -> np.ndarray:
    return _mean([readings.written(other_TV) for other_TV in readings.behind(reference)])


def kl(readings: Readings, reference: str) -> np.ndarray:
    return _mean([kl_divergence(readings.logprobs_TV, other_TV) for other_TV in readings.behind(reference)])


def k3(readings: Readings, reference: str) -> np.ndarray:
    return _mean([k3_estimate(readings.logprob_T, readings.written(q_TV)) for q_TV in readings.behind(reference)])


def kl_divergence(logprobs_TV: Tensor, other_TV: Tensor) -> Tensor:
    """KL(p || q) (T,) in nats of rows of log-probabilities; what p rules out adds nothing.

    >>> p = torch.tensor([[0.5, 0.5]]).log()
    >>> round(kl_divergence(p, torch.tensor([[0.9, 0.1]]).log()).item(), 4)
    0.5108
    """
    p_TV = logprobs_TV.exp()
    terms_TV = torch.where(p_TV > 0, p_TV * (logprobs_TV - other_TV), torch.zeros_like(p_TV))
    # Rounding must not make it negative.
    return terms_TV.sum(-1).clamp(min=0.0)


def k3_estimate(logprob_T: Tensor, other_T: Tensor) -> Tensor:
    """The estimate (T,) of the same on one token.

    >>> round(k3_estimate(torch.tensor([-1.0]), torch.tensor([-3.0])).item(), 4)
    1.1353
    """
    d_T = (other_T - logprob_T).clamp(-CLAMP_D, CLAMP_D)
    return (d_T.exp() - d_T - 1).clamp(0.0, CLAMP_K3)


def _mean(draws: list[Tensor]) -> np.ndarray:
    return torch.stack(draws).double().mean(0).cpu().numpy()

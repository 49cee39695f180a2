"""PAPO: what the policy says is to differ where patches of the picture are masked.

PAPO (arXiv 2507.06448, ICLR 2026; per token as in the authors' code). p' is the policy's probability where patches are
masked, p where they are not:

    k_t  = e^d - d - 1,  d = log p'(o_t) - log p(o_t)              d cut to [-20, 20] and k_t to [0, 10]
    l_t += - gamma * k_t                                           implicit perception loss: the KL is to grow
           - eta * log p(o_t) - eta' * log p'(o_t)                 double entropy loss: neither is to become flat

The second line keeps the KL from growing by a policy that says anything where it sees nothing. Entropy is estimated by
-log p of the token that was written, as in the authors' code; the trainer that TRL had took it over the vocabulary.

Axes: B completions, T tokens.
"""

from __future__ import annotations

from torch import Tensor

from causal_attrib.errors import check_range
from causal_attrib.objectives import inputs
from causal_attrib.objectives.vppo import sampled_dependency


def perception_loss(
    logprob_BT: Tensor,
    spoilt_logprob_BT: Tensor,
    mask_BT: Tensor,
    *,
    gamma: float = 0.01,
    eta: float = 0.03,
    eta_spoilt: float = 0.03,
) -> Tensor:
    """What PAPO adds to the loss of each token, to be minimised.

    Args:
        logprob_BT: log-probabilities of the completions' tokens in nats, with the picture (B, T).
        spoilt_logprob_BT: the same with patches masked. Both may carry a gradient; without one in the second, as the
            authors run it, `eta_spoilt` is without effect.
        mask_BT: 1 for tokens, 0 for padding (B, T).
        gamma: weight of the KL, 0 or more.
        eta, eta_spoilt: weights of the entropies with the picture and with the masked one, 0 or more.

    Returns:
        (B, T), float32 or float64; 0 at padding.

    Raises:
        InputError: shapes differ, a number is NaN or infinite, or a weight is out of its range.

    d = -1 gives k = 1/e, and -0.1/e + 0.2 * 1 + 0.3 * 2 is:

    >>> import torch
    >>> logprob_BT, spoilt_BT = torch.tensor([[-1.0]]), torch.tensor([[-2.0]])
    >>> round(perception_loss(logprob_BT, spoilt_BT, torch.ones(1, 1), gamma=0.1, eta=0.2, eta_spoilt=0.3).item(), 4)
    0.7632
    """
    for name, weight in (("gamma", gamma), ("eta", eta), ("eta_spoilt", eta_spoilt)):
        check_range(name, weight, 0)
    kl_BT = sampled_dependency(logprob_BT, spoilt_logprob_BT, mask_BT)
    mask_BT = mask_BT.bool()
    logprob_BT = inputs.real("logprob_BT", logprob_BT, mask_BT)
    spoilt_logprob_BT = inputs.real("spoilt_logprob_BT", spoilt_logprob_BT, mask_BT)
    return -gamma * kl_BT - eta * logprob_BT - eta_spoilt * spoilt_logprob_BT

"""SymMPO: two pictures and their responses, each preferred with its own picture.

SymMPO (arXiv 2506.11712, NeurIPS 2025). m is a picture, m' its contrastive picture; y_w is preferred to y_l for m, and
y_w' is what is preferred for m'.

    h(m, y)   = log pi_theta(y | m, x) - log pi_ref(y | m, x),  summed over the tokens of y
    D1        = h(m, y_w) - h(m, y_w')          D2 = h(m', y_w') - h(m', y_w)
    L_DPO     = -log s( beta * (h(m, y_w) - h(m, y_l)) )                              s: logistic function
    L_Pair    = -log s( beta * D1 ) - log s( beta * D2 )
    L_Margin  = (D1 - D2)^2  in the authors' code,  (beta * D1 - beta * D2)^2  in the paper
    L_AncPO   = -log s( beta * h(m, y_w) - delta ) - log s( beta * h(m', y_w') - delta )
    L         = L_DPO + lambda * L_Pair + gamma * L_Margin + eta * L_AncPO

Axes: B samples, T tokens.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from torch import Tensor
from torch.nn.functional import logsigmoid

from causal_attrib.errors import InputError, check_range
from causal_attrib.objectives import inputs


class LogRatios(NamedTuple):
    """h of the five pairs of picture and response, (B,) each.

    chosen:            h(m, y_w)
    rejected:          h(m, y_l)
    other:             h(m, y_w'), the response of the contrastive picture
    contrast_chosen:   h(m', y_w')
    contrast_other:    h(m', y_w)
    """

    chosen: Tensor
    rejected: Tensor
    other: Tensor
    contrast_chosen: Tensor
    contrast_other: Tensor


class SymMPOLoss(NamedTuple):
    """The loss and its terms before they are weighted, (B,) each: `loss_B.mean()` is trained on, the rest logged."""

    loss_B: Tensor
    dpo_B: Tensor
    pair_B: Tensor
    margin_B: Tensor
    anchored_B: Tensor


def log_ratio(logprob_BT: Tensor, reference_logprob_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """h = log pi_theta(y) - log pi_ref(y): the sum over the tokens of the response, not the mean.

    Args:
        logprob_BT: log-probabilities of the tokens under the policy, in nats (B, T); it alone carries a gradient.
        reference_logprob_BT: the same under the reference model.
        mask_BT: 1 for tokens of the response, 0 for prompt and padding.

    Returns:
        (B,), float32 or float64.

    >>> import torch
    >>> logprob_BT, reference_BT = torch.tensor([[-1.0, -2.0, -9.0]]), torch.tensor([[-2.0, -2.5, -1.0]])
    >>> log_ratio(logprob_BT, reference_BT, torch.tensor([[1, 1, 0]])).tolist()
    [1.5]
    """
    mask_BT = inputs.mask("mask_BT", mask_BT, logprob_BT.shape)
    inputs.check_shape("reference_logprob_BT", reference_logprob_BT, logprob_BT.shape)
    reference_BT = inputs.real("reference_logprob_BT", reference_logprob_BT.detach(), mask_BT)
    return (inputs.real("logprob_BT", logprob_BT, mask_BT) - reference_BT).sum(-1)


def symmpo_loss(
    ratios: LogRatios,
    *,
    beta: float = 0.1,
    pair: float = 0.5,
    margin: float = 1e-4,
    anchor: float = 1.0,
    delta: float = 0.0,
    margin_in_reward_units: bool = False,
) -> SymMPOLoss:
    """The loss of each sample, 4 ln 2 where policy and reference agree.

    Args:
        ratios: h of the five pairs; each carries a gradient.
        beta: strength of the tie to the reference, above 0.
        pair, margin, anchor: weights of the terms, lambda, gamma and eta in the paper; 0 or more.
        delta: what an anchored log-ratio is to exceed.
        margin_in_reward_units: L_Margin as in the paper. The default, as in the authors' code, has no beta and so
            weighs 1 / beta^2 = 100 times as much.

    Returns:
        Loss and terms, (B,) each, float32 or float64; each 0 or more.

    Raises:
        InputError: the five are not (B,) alike, or a number is NaN, infinite or out of its range.

    >>> import torch
    >>> ratios = LogRatios(*(torch.tensor([h]) for h in (2.0, -3.0, -1.0, 1.5, -2.0)))
    >>> round(symmpo_loss(ratios).loss_B.item(), 4), round(symmpo_loss(LogRatios(*torch.zeros(5, 1))).loss_B.item(), 4)
    (2.2371, 2.7726)
    """
    if not 0 < beta < math.inf:
        raise InputError(f"beta is {beta}, but it must be a number above 0.")
    check_range("delta", delta, -math.inf)
    for name, weight in (("pair", pair), ("margin", margin), ("anchor", anchor)):
        check_range(f"The weight of the term {name}", weight, 0)
    if any(h.ndim != 1 or h.shape != ratios.chosen.shape for h in ratios):
        shapes = ", ".join(str(tuple(h.shape)) for h in ratios)
        raise InputError(f"The five log-ratios have shapes {shapes}; give one number per sample in each.")
    chosen, rejected, other, contrast_chosen, contrast_other = (
        inputs.real(name, h) for name, h in zip(ratios._fields, ratios, strict=True)
    )
    first_B, second_B = chosen - other, contrast_chosen - contrast_other
    dpo_B = -logsigmoid(beta * (chosen - rejected))
    pair_B = -logsigmoid(beta * first_B) - logsigmoid(beta * second_B)
    margin_B = ((beta if margin_in_reward_units else 1.0) * (first_B - second_B)) ** 2
    anchored_B = -logsigmoid(beta * chosen - delta) - logsigmoid(beta * contrast_chosen - delta)
    loss_B = dpo_B + pair * pair_B + margin * margin_B + anchor * anchored_B
    return SymMPOLoss(loss_B, dpo_B, pair_B, margin_B, anchored_B)

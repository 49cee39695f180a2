"""The policy-gradient loss in one function: what GRPO and its kin minimise.

    L = aggregate( -min( rho * A, clip(rho) * A ) + beta * KL )

It is short enough to be checked by eye, and what a trainer computes can be held against it.

Axes: B completions, T tokens.
"""

from __future__ import annotations

from torch import Tensor

from causal_attrib.errors import InputError, check_range
from causal_attrib.objectives.aggregation import aggregate
from causal_attrib.objectives.surrogate import clipped_surrogate, kl_to_reference


def policy_loss(
    logprob_BT: Tensor,
    advantage: Tensor,
    mask_BT: Tensor,
    *,
    old_logprob_BT: Tensor | None = None,
    reference_logprob_BT: Tensor | None = None,
    loss_type: str = "grpo",
    epsilon_low: float = 0.2,
    epsilon_high: float = 0.2,
    beta: float = 0.0,
    max_length: int | None = None,
    batch_tokens: Tensor | float | None = None,
) -> Tensor:
    """Clipped surrogate with KL penalty, aggregated as GRPO, BNPO, Dr.GRPO or DAPO.

    The loss types are TRL's of the same name at `importance_sampling_level="token"`, before TRL divides by the number
    of gradient accumulation steps (which it does for all but `dapo`).

    The papers' settings: GRPO `beta=0.04`; Dr.GRPO `loss_type="dr_grpo"` with `group_advantage(scale=False)`; DAPO
    `loss_type="dapo", epsilon_high=0.28`. Neither of the last two has a KL penalty.

    Args:
        logprob_BT: log-probabilities of the completions' tokens in nats (B, T); it alone carries a gradient.
        advantage: one per completion (B,) or per token (B, T): `group_advantage`, `copo_advantage`, `hero_advantage`.
        mask_BT: 1 for tokens, 0 for padding (B, T).
        old_logprob_BT: the same under the policy that sampled; None if that is this one.
        reference_logprob_BT: the same under the reference model; needed where beta is above 0 and unused otherwise.
        loss_type, max_length, batch_tokens: as `aggregate`.
        epsilon_low, epsilon_high: as `clipped_surrogate`.
        beta: weight of the KL penalty, 0 or more.

    Returns:
        One number to minimise, float32 or float64.

    Raises:
        InputError: as the functions above, or beta is above 0 without reference.

    On policy, the loss is minus the mean advantage and its gradient is not 0 even where the loss is:

    >>> import torch
    >>> logprob_BT = torch.tensor([[-1.0, -2.0], [-0.5, -0.5]], requires_grad=True)
    >>> loss = policy_loss(logprob_BT, torch.tensor([1.0, -1.0]), torch.tensor([[1, 1], [1, 0]]))
    >>> loss.backward()
    >>> loss.item(), logprob_BT.grad.tolist()
    (0.0, [[-0.25, -0.25], [0.5, 0.0]])
    """
    check_range("beta", beta, 0)
    loss_BT = -clipped_surrogate(
        logprob_BT, old_logprob_BT, advantage, mask_BT, epsilon_low=epsilon_low, epsilon_high=epsilon_high
    )
    if beta > 0:
        if reference_logprob_BT is None:
            raise InputError(f"beta is {beta}, but there is no reference; give reference_logprob_BT or set beta to 0.")
        loss_BT = loss_BT + beta * kl_to_reference(logprob_BT, reference_logprob_BT, mask_BT)
    return aggregate(loss_BT, mask_BT, loss_type, max_length=max_length, batch_tokens=batch_tokens)

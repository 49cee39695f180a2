"""How strongly and how purely one part of a text drives another, from Jacobians that somebody else took.

CE-PO (arXiv 2509.23095; definitions as in the authors' code). Z is the question, X the reasoning, Y the answer. A
Jacobian holds the gradient of a summed log-likelihood with respect to the embedding of each token of its source:

    J_ZX = dL_X/dE_Z (|Z|, D)     J_ZY_tot = dL_Y/dE_Z (|Z|, D)     J_XY = dL_Y/dE_X (|X|, D)

and C is the mean of the same Jacobian over counterfactual texts (words of the source in random order):

    J_res = J - ( <J, C> / (<C, C> + 1e-12) ) * C                   hardened: what shuffled words give too is taken out
    shape = sigma_1(J_res)^2 / sum_i sigma_i(J_res)^2               share of the largest singular value
    mag   = min( 1, ||J_res||_F^2 / (||J||_F^2 + 1e-12) )           = 1 - cos^2(J, C)
    S     = f + (1 - f) * sqrt( shape * mag ),  f = 0.005           in [f, 1]

A source of one token has shape 1 always, and so scores high for free.

All is computed in float32 (float64 stays float64), without gradient, on the device of the Jacobians.

Axes: S tokens of the source, Z tokens of the question, X tokens of the reasoning, D embedding.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from causal_attrib.errors import InputError

FLOOR = 0.005
# Guards of the authors' code against division by 0: of the hardening and magnitude, and of the direct effect.
GUARD = 1e-12
GUARD_DIRECT = 1e-8


def channel_score(jacobian_SD: Tensor, counterfactual_SD: Tensor, floor: float = FLOOR) -> Tensor:
    """S = f + (1 - f) * sqrt(shape * mag) of the hardened Jacobian.

    Args:
        jacobian_SD: J (S, D).
        counterfactual_SD: C (S, D), from `aligned_mean`.
        floor: f in [0, 1].

    Returns:
        One number in [f, 1]: f where J is a multiple of C, 1 where J has rank 1 and is orthogonal to C.

    Raises:
        InputError: shapes differ, or a number is NaN, infinite or out of its range.

    >>> rank_1, across = torch.tensor([[1.0, 0.0], [2.0, 0.0]]), torch.tensor([[0.0, 1.0], [0.0, 1.0]])
    >>> round(channel_score(rank_1, rank_1).item(), 4), round(channel_score(rank_1, across).item(), 4)
    (0.005, 1.0)
    """
    if not 0 <= floor <= 1:
        raise InputError(f"The floor of a channel is {floor}, but it must be a number from 0 to 1.")
    residual_SD = harden(jacobian_SD, counterfactual_SD)
    share = spectral_share(residual_SD) * magnitude(residual_SD, jacobian_SD)
    return floor + (1 - floor) * share.sqrt()


def harden(jacobian_SD: Tensor, counterfactual_SD: Tensor) -> Tensor:
    """J - ( <J, C> / (<C, C> + 1e-12) ) * C: J without its part along C, the product running over all entries.

    >>> harden(torch.tensor([[3.0, 4.0]]), torch.tensor([[2.0, 0.0]])).tolist()
    [[0.0, 4.0]]
    """
    jacobian_SD, counterfactual_SD = _real("The Jacobian", jacobian_SD), _real("The counterfactual", counterfactual_SD)
    _check_same("The counterfactual", counterfactual_SD, jacobian_SD)
    along = (jacobian_SD * counterfactual_SD).sum() / (counterfactual_SD.square().sum() + GUARD)
    return jacobian_SD - along * counterfactual_SD


def spectral_share(jacobian_SD: Tensor) -> Tensor:
    """sigma_1^2 / sum_i sigma_i^2: the share of the energy in the largest singular value; 0 for a matrix of zeros.

    Range [1 / min(S, D), 1]; 1 for rank 1.

    >>> round(spectral_share(torch.diag(torch.tensor([2.0, 1.0, 1.0]))).item(), 4)
    0.6667
    """
    energy_R = torch.linalg.svdvals(_real("The Jacobian", jacobian_SD)).square()
    total = energy_R.sum()
    return torch.where(total > 0, energy_R[0] / total, 0.0)


def magnitude(residual_SD: Tensor, jacobian_SD: Tensor) -> Tensor:
    """min( 1, ||J_res||_F^2 / (||J||_F^2 + 1e-12) ): how much of J is left; in [0, 1].

    >>> round(magnitude(torch.tensor([[0.0, 4.0]]), torch.tensor([[3.0, 4.0]])).item(), 4)
    0.64
    """
    residual_SD, jacobian_SD = _real("The residual", residual_SD), _real("The Jacobian", jacobian_SD)
    _check_same("The residual", residual_SD, jacobian_SD)
    return (residual_SD.square().sum() / (jacobian_SD.square().sum() + GUARD)).clamp(max=1.0)


def direct_effect(total_ZD: Tensor, reasoning_ZD: Tensor, answer_XD: Tensor) -> Tensor:
    """The part of question -> answer that does not run through the reasoning.

    One scalar regression on the way through X:

        u    = mean over rows i of J_XY[i] / (||J_XY[i]|| + 1e-8)        (D)
        M    = J_ZX * u, each row by entries
        a    = <J_ZY_tot, M> / (<M, M> + 1e-8)
        J_ZY = J_ZY_tot - a * M                                          J_ZY_tot itself where <M, M> <= 1e-12

    Args:
        total_ZD: J_ZY_tot (|Z|, D).
        reasoning_ZD: J_ZX (|Z|, D).
        answer_XD: J_XY (|X|, D); for a counterfactual question that of the original texts.

    Returns:
        J_ZY (|Z|, D).

    Raises:
        InputError: shapes do not match, or a number is NaN or infinite.

    >>> total_ZD, reasoning_ZD, answer_XD = torch.tensor([[[3.0, 5.0]], [[1.0, 7.0]], [[2.0, 0.0]]])
    >>> direct_effect(total_ZD, reasoning_ZD, answer_XD).round(decimals=4).tolist()
    [[0.0, 5.0]]
    """
    total_ZD, reasoning_ZD = _real("J_ZY_tot", total_ZD), _real("J_ZX", reasoning_ZD)
    answer_XD = _real("J_XY", answer_XD)
    _check_same("J_ZX", reasoning_ZD, total_ZD)
    _check_same("A row of J_XY", answer_XD[:1].expand(len(total_ZD), -1), total_ZD)
    direction_D = (answer_XD / (answer_XD.norm(dim=1, keepdim=True) + GUARD_DIRECT)).mean(0)
    through_ZD = reasoning_ZD * direction_D
    energy = through_ZD.square().sum()
    share = (total_ZD * through_ZD).sum() / (energy + GUARD_DIRECT)
    return total_ZD - torch.where(energy > GUARD, share, 0.0) * through_ZD


def aligned_mean(counterfactuals: Sequence[Tensor], tokens: int) -> Tensor:
    """C: the mean of K counterfactual Jacobians, each cut or filled with rows of zeros to `tokens` rows.

    Shuffled words may split into more or fewer tokens than the original; row j stays row j.

    Args:
        counterfactuals: K Jacobians (S_k, D).
        tokens: rows of the Jacobian they are to be compared with.

    Returns:
        C (tokens, D).

    Raises:
        InputError: there is none, D differs, or a number is NaN or infinite.

    >>> aligned_mean([torch.tensor([[2.0], [4.0], [6.0]]), torch.tensor([[2.0]])], 2).tolist()
    [[2.0], [2.0]]
    """
    if not counterfactuals:
        raise InputError("There is no counterfactual Jacobian; take at least one.")
    first_SD = counterfactuals[0]
    mean_SD = torch.zeros_like(_real("A counterfactual", first_SD[:1]).expand(tokens, -1))
    for counterfactual_SD in counterfactuals:
        rows_SD = _real("A counterfactual", counterfactual_SD)[:tokens]
        _check_same("A counterfactual", rows_SD[:1], mean_SD[:1])
        mean_SD[: len(rows_SD)] += rows_SD / len(counterfactuals)
    return mean_SD


def with_counterfactuals(
    base: tuple[Tensor, Tensor], drawn: Sequence[tuple[Tensor, Tensor]], answer_XD: Tensor
) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """J and C of a source's two channels: to the reasoning, and straight to the answer.

    Args:
        base: J_ZX and J_ZY_tot of the source as it is, each (|Z|, D).
        drawn: the same of its K counterfactuals; they may have more or fewer tokens.
        answer_XD: J_XY of the original texts.

    Returns:
        (J_ZX, its C) and (J_ZY, its C), where J_ZY is the `direct_effect`, of counterfactuals too.
    """
    straight = [direct_effect(to_answer_SD, to_reasoning_SD, answer_XD) for to_reasoning_SD, to_answer_SD in drawn]
    through = [to_reasoning_SD for to_reasoning_SD, _ in drawn]
    tokens = len(base[0])
    return (
        (base[0], aligned_mean(through, tokens)),
        (direct_effect(base[1], base[0], answer_XD), aligned_mean(straight, tokens)),
    )


def _real(name: str, matrix: Tensor) -> Tensor:
    if matrix.ndim != 2 or matrix.numel() == 0:
        raise InputError(f"{name} has shape {tuple(matrix.shape)}; give one row per token, (tokens, embedding).")
    if not matrix.isfinite().all():
        raise InputError(f"{name} holds NaN or infinity; take the gradients in float32.")
    return matrix.detach().to(torch.promote_types(matrix.dtype, torch.float32))


def _check_same(name: str, matrix: Tensor, other: Tensor) -> None:
    if matrix.shape != other.shape:
        raise InputError(f"{name} has shape {tuple(matrix.shape)}, but {tuple(other.shape)} is needed.")

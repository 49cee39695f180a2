"""From words whose truth is known to a calibration of verdicts: logistic regression by Newton's method.

The loss is the negative log-likelihood plus (1/2) * |w|^2 over the weights w of standardised features, a normal prior
of unit variance (ridge; Le Cessie & van Houwelingen, 1992), without which words that evidence separates perfectly would
have no finite fit. The intercept is free.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from causal_attrib.errors import InputError
from causal_attrib.evaluation.verdict.scores import captions_of
from causal_attrib.scores.verdict import (
    AGAINST,
    FALSE_ALARM,
    FEATURES,
    NO_CLAIM,
    UNDECIDED,
    VERDICTS,
    Calibration,
    label,
    log_true,
)

FOLDS = 5
RIDGE = 1.0
# What keeps the logarithm of a caption's probability finite.
_LEAST = 1e-12


def fit(
    words: pd.DataFrame,
    *,
    model: str,
    level: str,
    data: str,
    seed: int | None,
    against: str = "colour",
    names: Sequence[str] = FEATURES,
) -> tuple[Calibration, pd.DataFrame]:
    """A calibration, and the same words with the p_false and verdict of a fit that had not seen their image.

    Error rates are of the latter (cross-validation in five folds of images), and so are the probabilities of captions
    and the distances that their coefficients and the threshold are fitted on. Words that claim nothing are left alone,
    and a claim that a caption makes again counts once but in the error rates.

    Args:
        words: from `evaluation.verdict.scores.judge`.
        model: id of the model that scored them; `level`, `against`, `data` and `seed` say with what.
        names: the features.

    Raises:
        InputError: there are fewer than five false or five true words, or fewer than five images.
    """
    claims = words[words.verdict != NO_CLAIM]
    false_N = claims["false"].to_numpy(dtype=bool)
    images = list(dict.fromkeys(claims.image))
    if min(false_N.sum(), (~false_N).sum(), len(images)) < FOLDS:
        raise InputError(
            f"A fit needs {FOLDS} false words, {FOLDS} true ones and {FOLDS} images at least, not {false_N.sum()}, "
            f"{(~false_N).sum()} and {len(images)}; label more captions."
        )
    features_NF = claims[list(names)].to_numpy(dtype=float)
    fold_N = claims.image.map({image: place % FOLDS for place, image in enumerate(images)}).to_numpy()
    caption_N = claims.caption.to_numpy()
    new_N = ~claims.duplicated(["caption", "claim"]).to_numpy()
    p_N = np.empty(len(claims))
    distances = []
    for fold in range(FOLDS):
        seen = (fold_N != fold) & new_N
        part = _calibration(features_NF[seen], false_N[seen], names)
        p_N[fold_N == fold] = part.p_false(features_NF[fold_N == fold])
        part = replace(part, spread=_spread(features_NF[seen], false_N[seen]))
        unseen_N = (fold_N == fold) & new_N
        distances += [
            part.distance(features_NF[unseen_N & (caption_N == caption)])
            for caption in dict.fromkeys(caption_N[unseen_N])
        ]
    labels = [label(*of) for of in zip(claims.evidence, claims.logprob, p_N, strict=True)]
    p_of = {caption: p_N[new_N & (caption_N == caption)] for caption in dict.fromkeys(caption_N)}
    caption = _of_captions(captions_of(words).loc[list(p_of)]["false"].to_numpy(dtype=bool), list(p_of.values()))
    fitted = {
        "data": data,
        "seed": seed,
        "captions": int(claims.caption.nunique()),
        "words": len(claims),
        "false_words": int(false_N.sum()),
        "date": datetime.date.today().isoformat(),
    }
    unseen = words.copy()
    unseen.loc[claims.index, "p_false"] = p_N
    unseen.loc[claims.index, "verdict"] = labels
    features_NF, false_N = features_NF[new_N], false_N[new_N]
    spread = _spread(features_NF, false_N) | {"threshold": float(np.quantile(distances, 1 - FALSE_ALARM))}
    calibration = replace(
        _calibration(features_NF, false_N, names),
        model=model,
        level=level,
        against=against,
        fitted=fitted,
        error_rates=_error_rates(unseen),
        caption=caption,
        spread=spread,
    )
    of_caption = {of: calibration.caption_p_false(some) for of, some in p_of.items()}
    unseen["caption_p_false"] = unseen.caption.map(of_caption).fillna(0.0)
    return calibration, unseen


def fit_logistic(features_NF: np.ndarray, false_N: np.ndarray, ridge: float = RIDGE) -> tuple[float, np.ndarray]:
    """Intercept and weights (F,), on the features as they are, of the logistic regression that the file describes."""
    mean_F, scale_F = features_NF.mean(0), features_NF.std(0)
    scale_F = np.where(scale_F > 0, scale_F, 1.0)
    inputs_NG = np.column_stack([np.ones(len(features_NF)), (features_NF - mean_F) / scale_F])
    penalty_G = np.array([0.0] + [ridge] * features_NF.shape[1])
    beta_G = np.zeros(len(penalty_G))
    loss = _loss(inputs_NG, false_N, beta_G, penalty_G)
    for _ in range(100):
        p_N = np.exp(-np.logaddexp(0.0, -inputs_NG @ beta_G))
        gradient_G = inputs_NG.T @ (p_N - false_N) + penalty_G * beta_G
        hessian_GG = (inputs_NG * (p_N * (1 - p_N))[:, None]).T @ inputs_NG + np.diag(penalty_G)
        step_G = np.linalg.solve(hessian_GG, gradient_G)
        # The loss is convex: half steps until it falls always end, and Newton's own step ends the rest.
        while (new := _loss(inputs_NG, false_N, beta_G - step_G, penalty_G)) > loss + 1e-9:
            step_G = step_G / 2
        beta_G, loss = beta_G - step_G, new
        if np.abs(step_G).max() < 1e-9:
            break
    weight_F = beta_G[1:] / scale_F
    return float(beta_G[0] - weight_F @ mean_F), weight_F


def _loss(inputs_NG: np.ndarray, false_N: np.ndarray, beta_G: np.ndarray, penalty_G: np.ndarray) -> float:
    score_N = inputs_NG @ beta_G
    return float(np.logaddexp(0.0, np.where(false_N, -score_N, score_N)).sum() + penalty_G @ beta_G**2 / 2)


def _calibration(features_NF: np.ndarray, false_N: np.ndarray, names: Sequence[str]) -> Calibration:
    intercept, weight_F = fit_logistic(features_NF, false_N)
    weights = dict(zip(names, map(float, weight_F), strict=True))
    return Calibration("", "", "", intercept, weights, {}, {})


def _of_captions(false_C: np.ndarray, p_CN: Sequence[np.ndarray]) -> dict:
    """The exponent a in [0, 1] with which the caption's other claims count: the likeliest under a normal prior of unit
    variance about 1, at which claims err independently."""
    likeliest_C, others_C = np.array([log_true(p_N) for p_N in p_CN]).T
    exponent_A = np.linspace(0, 1, 101)
    # Below 0 where all claims are as good as true, too.
    all_true_AC = np.minimum(likeliest_C + exponent_A[:, None] * others_C, -_LEAST)
    loss_AC = -np.where(false_C, np.log(-np.expm1(all_true_AC)), all_true_AC)
    return {"others": float(exponent_A[(loss_AC.sum(1) + RIDGE / 2 * (exponent_A - 1) ** 2).argmin()])}


def _spread(features_NF: np.ndarray, false_N: np.ndarray) -> dict:
    """Mean and inverse covariance of the features of true and of false words.

    A hundredth of each feature's variance over all words is added, so that a feature which hardly varies among true
    words does not make every other value of it infinitely far.
    """
    floor_FF = np.diag(0.01 * features_NF.var(0) + 1e-12)
    spread = {}
    for kind, some in (("true", ~false_N), ("false", false_N)):
        covariance_FF = np.atleast_2d(np.cov(features_NF[some], rowvar=False, bias=True)) + floor_FF
        mean_F = features_NF[some].mean(0)
        spread[kind] = {"mean": mean_F.tolist(), "precision": np.linalg.inv(covariance_FF).tolist()}
    return spread


def _error_rates(words: pd.DataFrame) -> dict[str, dict]:
    rates = {}
    for verdict in VERDICTS:
        of = words[words.verdict == verdict]
        wrong = ~of["false"] if verdict == AGAINST else of["false"]
        judged = len(of) and verdict != UNDECIDED
        rates[verdict] = {"words": len(of), "wrong": float(wrong.mean()) if judged else None}
    return rates

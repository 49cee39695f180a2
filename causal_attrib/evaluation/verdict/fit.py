"""From words whose truth is known to a calibration of verdicts: logistic regression by Newton's method.

The loss is the negative log-likelihood plus (1/2) * |w|^2 over the weights w of standardised features, a normal prior
of unit variance (ridge; Le Cessie & van Houwelingen, 1992), without which words that evidence separates perfectly would
have no finite fit. The intercept is free.
"""

from __future__ import annotations

import datetime

import numpy as np
import pandas as pd

from causal_attrib.errors import InputError
from causal_attrib.scores.verdict import AGAINST, FEATURES, UNDECIDED, VERDICTS, Calibration, label

FOLDS = 5
RIDGE = 1.0


def fit(
    words: pd.DataFrame, *, model: str, level: str, data: str, seed: int | None
) -> tuple[Calibration, pd.DataFrame]:
    """A calibration, and the same words with the p_false and verdict of a fit that had not seen their image.

    Error rates are of the latter (cross-validation in five folds of images).

    Args:
        words: from `evaluation.verdict.scores.judge`.
        model: id of the model that scored them; `level`, `data` and `seed` say with what.

    Raises:
        InputError: there are fewer than five false or five true words, or fewer than five images.
    """
    false_N = words["false"].to_numpy(dtype=bool)
    images = list(dict.fromkeys(words.image))
    if min(false_N.sum(), (~false_N).sum(), len(images)) < FOLDS:
        raise InputError(
            f"A fit needs {FOLDS} false words, {FOLDS} true ones and {FOLDS} images at least, not {false_N.sum()}, "
            f"{(~false_N).sum()} and {len(images)}; label more captions."
        )
    features_NF = words[list(FEATURES)].to_numpy(dtype=float)
    fold_N = words.image.map({image: number % FOLDS for number, image in enumerate(images)}).to_numpy()
    p_N = np.empty(len(words))
    for fold in range(FOLDS):
        seen = fold_N != fold
        p_N[~seen] = _calibration(features_NF[seen], false_N[seen]).p_false(features_NF[~seen])
    labels = [label(*of) for of in zip(words.evidence, words.logprob, p_N, strict=True)]
    unseen = words.assign(p_false=p_N, verdict=labels)
    fitted = {
        "data": data,
        "seed": seed,
        "captions": int(words.caption.nunique()),
        "words": len(words),
        "false_words": int(false_N.sum()),
        "date": datetime.date.today().isoformat(),
    }
    rates = _error_rates(unseen)
    return _calibration(features_NF, false_N, model=model, level=level, fitted=fitted, error_rates=rates), unseen


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


def _calibration(
    features_NF: np.ndarray,
    false_N: np.ndarray,
    *,
    model: str = "",
    level: str = "",
    fitted: dict | None = None,
    error_rates: dict | None = None,
) -> Calibration:
    intercept, weight_F = fit_logistic(features_NF, false_N)
    weights = dict(zip(FEATURES, map(float, weight_F), strict=True))
    return Calibration(model, level, intercept, **weights, fitted=fitted or {}, error_rates=error_rates or {})


def _error_rates(words: pd.DataFrame) -> dict[str, dict]:
    rates = {}
    for verdict in VERDICTS:
        of = words[words.verdict == verdict]
        wrong = ~of["false"] if verdict == AGAINST else of["false"]
        judged = len(of) and verdict != UNDECIDED
        rates[verdict] = {"words": len(of), "wrong": float(wrong.mean()) if judged else None}
    return rates

"""How good verdicts are on captions of which it is known which words are false.

    AUROC   probability that a false word gets a higher p_false than a true one, ties counted half (the Mann-Whitney
            statistic; Hanley & McNeil, 1982), over content words
    ECE     expected calibration error (Naeini et al., 2015, "Obtaining Well Calibrated Probabilities Using Bayesian
            Binning", section 3; Guo et al., 2017, eq. 3, for the probability of one class): sum_m |B_m| / N * |share of
            false words in B_m - mean p_false in B_m| over `BINS` bins of equal width
    coverage  share of words that are not undecided
    error   share of the words with a verdict for which it is wrong: false ones among "grounded" and "language prior",
            true ones among "against the image"

All are in percent. Intervals are over images, whose words are no independent draws.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from causal_attrib.choices import Against, BatchSize, Level
from causal_attrib.engine import choose_engine
from causal_attrib.evaluation.intervals import Bounded, Estimate, Metric, by_cluster, estimate, share
from causal_attrib.evaluation.verdict.labelled import Labelled, kind_of
from causal_attrib.scores.caption_task import judge_alone, make_task, run_tasks
from causal_attrib.scores.inputs import calibration_of
from causal_attrib.scores.settings import Settings
from causal_attrib.scores.verdict import AGAINST, NO_CLAIM, UNDECIDED, VERDICTS, Calibration, features
from causal_attrib.vlm import VLM
from causal_attrib.words.claims import first_mentions

BINS = 15
FUNCTION = "function"


@dataclass(frozen=True)
class KindScores:
    """One kind of word: how many, how well false ones are told from true ones, and what verdicts they get."""

    kind: str
    words: int
    false: int
    auroc: Estimate
    coverage: Estimate
    verdicts: dict[str, int]


@dataclass(frozen=True)
class VerdictScores:
    """One verdict: how many words got it and were false, and the share for which it is wrong (None: undecided)."""

    verdict: str
    words: int
    false: int
    error: Estimate


@dataclass(frozen=True)
class WordVerdictScores:
    """`auroc` and `ece` are over content words, `ece_all` and `coverage` over all words that claim something.

    no_claim:      words whose truth is known and that claim nothing; they are in none of the figures
    caption_auroc, caption_ece: of the probability that a caption has a false word
    alarms:        share of the captions without a false word in which a word is called against the image
    """

    auroc: Estimate
    ece: Estimate
    ece_all: Estimate
    coverage: Estimate
    caption_auroc: Estimate
    caption_ece: Estimate
    alarms: Estimate
    no_claim: int
    captions: int
    images: int
    kinds: list[KindScores]
    verdicts: list[VerdictScores]


def judge(
    captions: Sequence[Labelled],
    vlm: VLM,
    *,
    level: Level = "token",
    calibration: Calibration | None = None,
    against: Against = "colour",
    batch_size: BatchSize = "auto",
    necessity: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> pd.DataFrame:
    """A row for each word whose truth is known: image, caption, word, kind, false, p_false, verdict, and of the word of
    the caption that first claims the same its place (`claim`) and features.

    Args:
        necessity: take it of every word too, and its effect, which are 0 otherwise unless the calibration reads them.
    """
    settings = Settings(outcome="grounding", level=level, against=against, batch_size=batch_size, verdict=True)
    calibration = calibration or calibration_of(settings)
    assert calibration is not None  # the settings ask for verdicts
    necessity = necessity or calibration.reads_necessity
    rows = []
    for number, caption in enumerate(captions):
        task = make_task(vlm, settings, caption.picture, caption.text, calibration=calibration)
        engine = choose_engine(settings.engine, vlm, task.encoding, batch_size)
        attribution = run_tasks(engine, [task])[0] if necessity else judge_alone(engine, task)
        verdict = attribution.verdict or {}
        judged = [token for token in attribution if token.verdict is not None]
        words = [[token for token in judged if token.word == index] for index in dict.fromkeys(t.word for t in judged)]
        texts = ["".join(token.text for token in word).strip() for word in words]
        # The priors are not kept: their sum is what the evidence leaves of the log-probability.
        prior_W = [sum(token.logprob or 0.0 for token in word) - (word[0].evidence or 0.0) for word in words]
        found_W = [features(word, [prior], attribution.outcome) for word, prior in zip(words, prior_W, strict=True)]
        for word, text, claim in zip(words, texts, first_mentions(texts), strict=True):
            known = kind_of(caption, word[0].char_start, word[-1].char_end)
            p_false = word[0].p_false
            if known is not None:
                rows.append(
                    {
                        "image": caption.image,
                        "caption": number,
                        "word": text,
                        "kind": known[0],
                        "false": known[1],
                        "claim": claim,
                        **found_W[claim],
                        "p_false": math.nan if p_false is None else p_false,
                        "verdict": word[0].verdict,
                        "caption_p_false": verdict["p_false"],
                        "calibrated": verdict["calibrated"],
                    }
                )
        if progress is not None:
            progress(number + 1, len(captions))
    return pd.DataFrame(rows)


def measure(words: pd.DataFrame, *, resamples: int = 1000, seed: int = 0) -> WordVerdictScores:
    """The scores of verdicts on the words of `judge`."""
    draws = {"resamples": resamples, "seed": seed}
    everything, words = words, words[words.verdict != NO_CLAIM]
    content = words[words.kind != FUNCTION]
    of_captions = captions_of(everything)
    true = of_captions[~of_captions["false"]]
    covered = (words.verdict != UNDECIDED).to_numpy()
    return WordVerdictScores(
        auroc=_auroc(content, draws),
        ece=_ece(content, draws),
        ece_all=_ece(words, draws),
        coverage=_share(words.image, covered, draws),
        caption_auroc=_auroc(of_captions, draws),
        caption_ece=_ece(of_captions, draws),
        alarms=_share(true.image, true.alarm.to_numpy(dtype=bool), draws),
        no_claim=len(everything) - len(words),
        captions=len(of_captions),
        images=everything.image.nunique(),
        kinds=[_of_kind(kind, words[words.kind == kind], draws) for kind in dict.fromkeys(words.kind)],
        verdicts=[_of_verdict(verdict, words[words.verdict == verdict], draws) for verdict in VERDICTS],
    )


def captions_of(words: pd.DataFrame) -> pd.DataFrame:
    """A row for each caption of `judge`'s words: image, whether a word is false, p_false, whether one is called so."""
    groups = words.groupby("caption", sort=False)
    return pd.DataFrame(
        {
            "image": groups.image.first(),
            "false": groups["false"].any().astype(bool),
            "p_false": groups.caption_p_false.first(),
            "alarm": groups.verdict.agg(lambda verdicts: AGAINST in set(verdicts)),
        }
    )


def auroc(false_N: np.ndarray, score_N: np.ndarray, weight_N: np.ndarray | None = None) -> float:
    """Probability that a false word has a higher score than a true one, ties counted half; NaN if one sort is missing.

    >>> auroc(np.array([True, False, False]), np.array([0.5, 0.5, 0.1]))
    0.75
    """
    weight_N = np.ones(len(score_N)) if weight_N is None else weight_N
    _, rank_N = np.unique(score_N, return_inverse=True)
    return _of_ranks(false_N, rank_N, weight_N)


def calibration_error(false_N: np.ndarray, p_N: np.ndarray, bins: int = BINS) -> float:
    """Expected calibration error of the probabilities `p_N` that words are false, in [0, 1]; p = 1 is in the last bin.

    >>> round(calibration_error(np.array([True, False]), np.array([0.8, 0.8])), 6)
    0.3
    """
    return float(_error_of(_binned(false_N, p_N, bins).sum(0)))


def _of_ranks(false_N: np.ndarray, rank_N: np.ndarray, weight_N: np.ndarray) -> float:
    false_R = np.bincount(rank_N, weight_N * false_N)
    true_R = np.bincount(rank_N, weight_N * ~false_N)
    pairs = false_R.sum() * true_R.sum()
    won = false_R @ (np.cumsum(true_R) - true_R / 2)
    return float(won / pairs) if pairs else float("nan")


def _binned(false_N: np.ndarray, p_N: np.ndarray, bins: int) -> np.ndarray:
    """For each word three numbers in the place of its bin: 1, whether it is false, its probability; [N, 3 * bins]."""
    place_N = np.minimum((p_N * bins).astype(int), bins - 1)
    cells_N3M = np.zeros((len(p_N), 3, bins))
    for row, values_N in enumerate((np.ones(len(p_N)), false_N, p_N)):
        cells_N3M[np.arange(len(p_N)), row, place_N] = values_N
    return cells_N3M.reshape(len(p_N), -1)


def _error_of(sums: np.ndarray) -> np.ndarray:
    """From sums [..., 3 * bins] of `_binned` to the error [...]."""
    words, false, p = np.split(sums, 3, axis=-1)
    return np.abs(false - p).sum(-1) / words.sum(-1)


def _auroc(words: pd.DataFrame, draws: dict[str, int]) -> Estimate:
    _, image_N = np.unique(words.image, return_inverse=True)
    _, rank_N = np.unique(words.p_false, return_inverse=True)
    false_N = words["false"].to_numpy(dtype=bool)

    def of_draws(times_BC: np.ndarray) -> np.ndarray:
        """From how often each image was drawn; AUROC is no function of sums over images."""
        flat = np.atleast_2d(times_BC)
        values = np.array([_of_ranks(false_N, rank_N, times_C[image_N]) for times_C in flat])
        return 100 * (values if times_BC.ndim > 1 else values[0])

    images = image_N.max(initial=-1) + 1
    # So many pairs of a false and a true word can be of images that no other pair has.
    pairs = min(len(np.unique(image_N[of_N])) for of_N in (false_N, ~false_N))
    auroc = Bounded(of_draws, trials=pairs)
    return estimate(np.eye(images), {"auroc": auroc}, **draws)["auroc"] if images else Estimate(None)


def _ece(words: pd.DataFrame, draws: dict[str, int]) -> Estimate:
    binned_NK = _binned(words["false"].to_numpy(dtype=bool), words.p_false.to_numpy(), BINS)
    return _estimate(words.image, binned_NK, lambda sums: 100 * _error_of(sums), draws)


def _share(images: pd.Series, hit_N: np.ndarray, draws: dict[str, int]) -> Estimate:
    counts_NK = np.column_stack([hit_N, np.ones(len(hit_N))])
    return _estimate(images, counts_NK, share(0, 1), draws)


def _estimate(images: pd.Series, counts_NK: np.ndarray, metric: Metric, draws: dict[str, int]) -> Estimate:
    if not len(images):
        return Estimate(None)
    return estimate(by_cluster(list(images), counts_NK), {"it": metric}, **draws)["it"]


def _of_kind(kind: str, words: pd.DataFrame, draws: dict[str, int]) -> KindScores:
    return KindScores(
        kind=kind,
        words=len(words),
        false=int(words["false"].sum()),
        auroc=_auroc(words, draws),
        coverage=_share(words.image, (words.verdict != UNDECIDED).to_numpy(), draws),
        verdicts={verdict: int((words.verdict == verdict).sum()) for verdict in VERDICTS},
    )


def _of_verdict(verdict: str, words: pd.DataFrame, draws: dict[str, int]) -> VerdictScores:
    false_N = words["false"].to_numpy(dtype=bool)
    wrong_N = ~false_N if verdict == AGAINST else false_N
    error = Estimate(None) if verdict == UNDECIDED else _share(words.image, wrong_N, draws)
    return VerdictScores(verdict, len(words), int(false_N.sum()), error)

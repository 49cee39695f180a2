"""Does the picture bear this word out? A label per word, and the probability that the word is false.

    evidence = log p(word | picture, what precedes) - log p(word | reference image, what precedes)      in nats
    p_false  = s( intercept + a * evidence + b * entropy + c * necessity ),  s the logistic

The first is pointwise mutual information of word and picture given what precedes (Church & Hanks, 1990), as the model
has it; the second is logistic calibration (Platt, 1999), whose coefficients belong to one model and one level of
scoring. A word of several tokens is one word: its log-probabilities and entropies are summed, its necessities averaged,
and each of its tokens bears its verdict.

    grounded            the picture at least doubles its probability, and p_false < 1/2
    against the image   the picture at least halves it, and p_false >= 1/2
    language prior      its probability is at least 1/2 with the picture and without, and p_false < 1/2
    undecided           anything else: the evidence is slight, or it and p_false contradict each other
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from causal_attrib.errors import InputError
from causal_attrib.io.atomic import replace_file
from causal_attrib.results.attribution import Attribution, Token
from causal_attrib.version import __version__

GROUNDED, AGAINST, PRIOR, UNDECIDED = VERDICTS = ("grounded", "against the image", "language prior", "undecided")
FEATURES = ("evidence", "entropy", "necessity")

CLEAR = math.log(2)  # nats: twice or half as likely
LIKELY = math.log(1 / 2)
FALSE = 0.5

SCHEMA = 1
BUNDLED = Path(__file__).resolve().parents[1] / "assets" / "verdict.json"


@dataclass(frozen=True)
class Calibration:
    """The coefficients of `p_false` for one model at one level, and how well they did.

    model:       id of the model that it was fitted on
    level:       "token" or "word", the level of scoring: it is the necessities that differ
    fitted:      on what: data, seed, captions, words, false_words, date
    error_rates: for each verdict how many `words` got it, and the share of them that are `wrong`, which is false ones
                 for "grounded" and "language prior" and true ones for "against the image" (None: undecided, or no
                 words); measured on words that the coefficients had not seen
    """

    model: str
    level: str
    intercept: float
    evidence: float
    entropy: float
    necessity: float
    fitted: dict[str, Any]
    error_rates: dict[str, Any]

    def p_false(self, features_NF: np.ndarray) -> np.ndarray:
        """Probability that each of N words is false, from its `FEATURES`, in [0, 1].

        >>> Calibration("m", "word", 0.0, -1.0, 0.0, 0.0, {}, {}).p_false(np.array([[0.0, 1.0, 0.2]]))
        array([0.5])
        """
        score_N = self.intercept + features_NF @ np.array([self.evidence, self.entropy, self.necessity])
        # The logistic without overflow.
        return np.exp(-np.logaddexp(0.0, -score_N))

    def record(self, model: str, *, known: bool = True) -> dict[str, Any]:
        """What a result says of its verdicts: the rule, where it comes from and how often it errs.

        Args:
            model: that gave them.
            known: the picture is of the kind that it knows.
        """
        calibrated = model == self.model and known
        return {
            "calibrated": calibrated,
            "note": self._error_line() if calibrated else self._warning(model),
            "thresholds": {"evidence_nats": CLEAR, "p_false": FALSE, "likely": math.exp(LIKELY)},
            "calibration": asdict(self),
        }

    def _error_line(self) -> str:
        wrong = {GROUNDED: "false", PRIOR: "false", AGAINST: "true"}
        parts = [
            f"{100 * rate['wrong']:.2f} % of those called {label} are {wrong[label]}"
            for label, rate in self.error_rates.items()
            if label != UNDECIDED and rate["words"]
        ]
        words = sum(rate["words"] for rate in self.error_rates.values())
        undecided = 100 * self.error_rates[UNDECIDED]["words"] / words
        return (
            f"of {words:,} words of {self.fitted['data']} (cross-validated), {', '.join(parts)}, "
            f"{undecided:.1f} % are undecided"
        )

    def _warning(self, model: str) -> str:
        if model == self.model:
            return (
                f"not calibrated for this picture: the calibration comes from {self.fitted['data']}, so how often "
                "these verdicts err is not known"
            )
        return (
            f"not calibrated for {model}: the calibration comes from the model {self.model}, so how often these "
            "verdicts err is not known; copo eval verdict --fit makes one for yours"
        )


def model_of(record: Mapping[str, Any]) -> str:
    """What a calibration belongs to: the name of a model, and how its weights are quantised, which makes it another.

    >>> model_of({"id": "m", "quantization": None}), model_of({"id": "m", "quantization": "bitsandbytes, 4 bits"})
    ('m', 'm (bitsandbytes, 4 bits)')
    """
    how = record.get("quantization")
    return f"{record['id']} ({how})" if how else record["id"]


def label(evidence: float, logprob: float, p_false: float) -> str:
    """The verdict of a word.

    Args:
        evidence: in nats.
        logprob: its log-probability with the picture, in nats.
        p_false: its calibrated probability of being false.

    >>> label(2.3, -0.1, 0.02), label(-5.0, -6.0, 0.97), label(0.01, -0.1, 0.03), label(-0.2, -4.0, 0.3)
    ('grounded', 'against the image', 'language prior', 'undecided')
    """
    if p_false >= FALSE:
        return AGAINST if evidence <= -CLEAR else UNDECIDED
    if evidence >= CLEAR:
        return GROUNDED
    return PRIOR if logprob >= LIKELY and logprob - evidence >= LIKELY else UNDECIDED


def judged(
    attribution: Attribution, prior_T: Sequence[float], calibration: Calibration, *, known: bool = True
) -> Attribution:
    """The same attribution with a verdict on each scored word, borne by each of its tokens.

    Args:
        attribution: scored at the calibration's level with what `settings.check_outcome` asks for.
        prior_T: log-probability of each token with the reference image, in nats.
        calibration: of the model that scored it, or of another, which the result then says.
        known: the picture is of the kind that the model knows; the result says if not.
    """
    verdicts: dict[int, dict[str, Any]] = {}
    for _, tokens in groupby(attribution.tokens, key=lambda token: token.word):
        word = [token for token in tokens if token.necessity is not None]
        if word:
            verdict = _verdict(word, [prior_T[token.index] for token in word], calibration)
            verdicts.update((token.index, verdict) for token in word)
    unscored = {"evidence": None, "p_false": None, "verdict": None}
    return replace(
        attribution,
        tokens=[replace(token, **verdicts.get(token.index, unscored)) for token in attribution.tokens],
        verdict=calibration.record(model_of(attribution.model), known=known),
    )


def features(word: Sequence[Token], evidence: float) -> list[float]:
    """The `FEATURES` of a word: its evidence, the sum of its tokens' entropies, the mean of their necessities."""
    return [evidence, _total(word, "entropy"), _total(word, "necessity") / len(word)]


def _total(word: Sequence[Token], score: str) -> float:
    """The sum of a score that all tokens of a scored word have."""
    return float(sum(getattr(token, score) for token in word))


def _verdict(word: Sequence[Token], priors: Sequence[float], calibration: Calibration) -> dict[str, Any]:
    logprob = _total(word, "logprob")
    evidence = logprob - sum(priors)
    p_false = float(calibration.p_false(np.array([features(word, evidence)]))[0])
    return {"evidence": evidence, "p_false": p_false, "verdict": label(evidence, logprob, p_false)}


def read_calibration(path: str | os.PathLike[str] | None, level: str) -> Calibration:
    """The calibration for a level of scoring from a file of `write_calibration`; None is that of the bundled model.

    Raises:
        InputError: no such file, not such a file, or none for this level in it.
    """
    path = BUNDLED if path is None else Path(path)
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if record["schema"] != SCHEMA:
            raise ValueError
        found = [_checked(Calibration(**one)) for one in record["calibrations"]]
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); check the path of the calibration.") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise InputError(f"{path} is no calibration of verdicts; make one with copo eval verdict --fit.") from None
    calibration = next((one for one in found if one.level == level), None)
    if calibration is None:
        raise InputError(f"{path} is not for the level {level}; fit one with copo eval verdict --fit --level {level}.")
    return calibration


def write_calibration(path: str | os.PathLike[str], calibrations: Sequence[Calibration]) -> None:
    """One file for calibrations of one model, at most one for each level."""
    record = {
        "schema": SCHEMA,
        "calibrations": [asdict(one) for one in calibrations],
        "tool": {"name": "copo", "version": __version__},
    }
    replace_file(path, (json.dumps(record, indent=1, allow_nan=False) + "\n").encode())


def _checked(calibration: Calibration) -> Calibration:
    numbers = [getattr(calibration, field.name) for field in fields(calibration) if field.type == "float"]
    rates = calibration.error_rates.values()
    if not all(math.isfinite(number) for number in numbers) or set(calibration.error_rates) != set(VERDICTS):
        raise ValueError
    told = isinstance(calibration.fitted["data"], str) and "seed" in calibration.fitted
    if not told or not sum(rate["words"] for rate in rates):
        raise ValueError
    return calibration

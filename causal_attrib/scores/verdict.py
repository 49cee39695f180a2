"""Does the picture bear this word out? A label per word, the probability that it is false, and that the caption is.

    evidence = log p(word | picture, what precedes) - log p(word | reference image, what precedes)      in nats
    p_false  = s( intercept + sum_f weight_f * f ),  s the logistic, f over the features of the calibration
    caption  = 1 - (1 - p_m) * prod_{c != m} (1 - p_c)^a,  c over its claims, p_m the largest of their p_false

The first is pointwise mutual information of word and picture given what precedes (Church & Hanks, 1990), as the model
has it; the second is logistic calibration (Platt, 1999), whose coefficients belong to one model, one level of scoring
and one reference image. The third is what a caption would be if its claims erred independently where a is 1, and what
its likeliest false claim is where a is 0; a is fitted. Between the two it is never less than any of its claims, nor
more than all of them together, and rises with each.

A word of several tokens is one word: its log-probabilities and entropies are summed, its necessities averaged, and each
of its tokens bears its verdict. A claim is judged where the caption first makes it, and words that make it again bear
the same verdict: how likely a word is the second time says more of the text than of the picture.

    grounded            the picture at least doubles its probability, and p_false < 1/2
    against the image   the picture at least halves it, and p_false >= 1/2
    language prior      its probability is at least 1/2 with the picture and without, and p_false < 1/2
    undecided           anything else: the evidence is slight, or it and p_false contradict each other
    no claim            a function word or a mark (`words.claims`), which can be neither true nor false, or a word under
                        a negation, which is not judged

A calibration also keeps how its features were spread over true and over false words. A caption whose claims lie
farther from both than all but `FALSE_ALARM` of the captions of the fit is outside of what was calibrated: it gets no
error rate. Wherever there is none, a word is called against the image only if the picture makes it `DOUBTLESS` less
likely, a thousand times, and is undecided otherwise.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import groupby
from pathlib import Path

import numpy as np

from causal_attrib.errors import InputError
from causal_attrib.io.atomic import replace_file
from causal_attrib.results.attribution import Attribution, Token
from causal_attrib.results.effects import effect_nats
from causal_attrib.version import __version__
from causal_attrib.words.claims import denied, first_mentions, is_content

GROUNDED, AGAINST, PRIOR, UNDECIDED = VERDICTS = ("grounded", "against the image", "language prior", "undecided")
NO_CLAIM = "no claim"
# What a calibration may read of a word. evidence, logprob and entropy in nats; position: how many tokens of the caption
# precede it, which also tells captions of an unknown length; effect: by how many nats hiding the word lowers the
# caption's grounding; necessity: as it is.
READABLE = ("evidence", "logprob", "entropy", "position", "effect", "necessity")
# What a fit reads by default: the other two add nothing to these (docs/verdict.md).
FEATURES = READABLE[:4]

CLEAR = math.log(2)  # nats: twice or half as likely
DOUBTLESS = math.log(1000)
LIKELY = math.log(1 / 2)
FALSE = 0.5
# Share of captions like those of a fit that are taken to be outside of it.
FALSE_ALARM = 0.01
# What keeps the logarithms of a caption finite.
_SUREST = 1e-6

SCHEMA = 2
BUNDLED = Path(__file__).resolve().parents[1] / "assets" / "verdict.json"


@dataclass(frozen=True)
class Calibration:
    """The coefficients of `p_false` for one model, one level and one reference image, and how well they did.

    model:       id of the model that it was fitted on
    level:       "token" or "word", the level of scoring: it is the necessities that differ
    against:     the reference image
    intercept, weights: of the logistic, a weight for each feature by name
    fitted:      on what: data, seed, captions, words, false_words, date
    error_rates: for each verdict how many `words` got it, and the share of them that are `wrong`, which is false ones
                 for "grounded" and "language prior" and true ones for "against the image" (None: undecided, or no
                 words); measured on words that the coefficients had not seen
    caption:     `others`, the exponent a of the caption's probability; in files of before `intercept` and `slope`,
                 which mended the log-odds of independent claims; empty where none was fitted
    spread:      for "true" and "false" words `mean` (F,) and `precision` (F, F), the inverse covariance, of their
                 features, and `threshold` of `distance`; empty where none was kept
    """

    model: str
    level: str
    against: str
    intercept: float
    weights: dict[str, float]
    fitted: dict
    error_rates: dict
    caption: dict = field(default_factory=dict)
    spread: dict = field(default_factory=dict)

    def features(self, found: dict[str, float]) -> list[float]:
        """Those of a word that this calibration reads, in its order."""
        return [found[name] for name in self.weights]

    def p_false(self, features_NF: np.ndarray) -> np.ndarray:
        """Probability that each of N words is false, from its features, in [0, 1].

        >>> Calibration("m", "word", "colour", 0.0, {"evidence": -1.0}, {}, {}).p_false(np.array([[0.0]]))
        array([0.5])
        """
        return _logistic(self.intercept + features_NF @ np.array(list(self.weights.values())))

    @property
    def reads_necessity(self) -> bool:
        """Whether it holds for one outcome and one mask only."""
        return not {"effect", "necessity"}.isdisjoint(self.weights)

    def caption_p_false(self, p_N: np.ndarray) -> float:
        """Probability that at least one of N different claims is false, from theirs; 0 for a caption that claims
        nothing. It is never below the largest of theirs.

        >>> mine = Calibration("m", "word", "colour", 0.0, {}, {}, {}, {"others": 1.0})
        >>> round(mine.caption_p_false(np.array([0.5, 0.5])), 6), mine.caption_p_false(np.array([0.25]))
        (0.75, 0.25)
        """
        if not len(p_N):
            return 0.0
        if "slope" in self.caption:
            log_odds = self.caption["intercept"] + self.caption["slope"] * independent_log_odds(p_N)
            return max(float(_logistic(np.array(log_odds))), float(p_N.max()))
        likeliest, others = log_true(p_N)
        return max(float(-np.expm1(likeliest + self.caption.get("others", 1.0) * others)), float(p_N.max()))

    def distance(self, features_NF: np.ndarray) -> float:
        """How far the claims of a caption lie from those of the fit: the mean over them of the squared Mahalanobis
        distance (Mahalanobis, 1936) to the nearer of true and false words; 0 for a caption that claims nothing."""
        if not len(features_NF) or not self.spread:
            return 0.0
        nearest_N = np.min([_squared_distance(features_NF, self.spread[kind]) for kind in ("true", "false")], axis=0)
        return float(nearest_N.mean())

    def record(
        self, model: str, *, known: bool = True, features_NF: np.ndarray | None = None, denies: bool = False
    ) -> dict:
        """What a result says of its verdicts: the rule, where it comes from and how often it errs.

        Args:
            model: that gave them.
            known: the picture is of the kind that it knows.
            features_NF: of the caption's claims.
            denies: the caption says what is not there, which no caption of a fit does.
        """
        outside = None
        if features_NF is not None and self.spread:
            outside = {"distance": self.distance(features_NF), "threshold": self.spread["threshold"]}
            outside["false_alarm"] = FALSE_ALARM
        inside = outside is None or outside["distance"] <= outside["threshold"]
        calibrated = model == self.model and known and inside and not denies
        return {
            "calibrated": calibrated,
            "note": self._error_line() if calibrated else self._warning(model, known, denies),
            "thresholds": {
                "evidence_nats": CLEAR,
                "against_nats": CLEAR if calibrated else DOUBTLESS,
                "p_false": FALSE,
                "likely": math.exp(LIKELY),
            },
            "calibration": asdict(self),
            **({} if outside is None else {"outside": outside}),
        }

    def _error_line(self) -> str:
        wrong = {GROUNDED: "false", PRIOR: "false", AGAINST: "true"}
        parts = [
            f"{100 * rate['wrong']:.2f} % of those called {label} are {wrong[label]}"
            for label, rate in self.error_rates.items()
            if label in wrong and rate["words"]
        ]
        words = sum(rate["words"] for rate in self.error_rates.values())
        undecided = 100 * self.error_rates[UNDECIDED]["words"] / words
        return (
            f"of {words:,} words of {self.fitted['data']} (cross-validated), {', '.join(parts)}, "
            f"{undecided:.1f} % are undecided"
        )

    def _warning(self, model: str, known: bool, denies: bool) -> str:
        bar = f"; only words that the picture makes {math.exp(DOUBTLESS):,.0f} times less likely are called {AGAINST}"
        if model != self.model:
            return (
                f"not calibrated for {model}: the calibration comes from the model {self.model}, so how often these "
                f"verdicts err is not known{bar}; copo eval verdict --fit makes one for yours"
            )
        if known and denies:
            return (
                "outside of what was calibrated: the caption says what is not there, and words under a negation are "
                f"not judged; how often the other verdicts err is not known{bar}"
            )
        what = "caption" if known else "picture"
        return (
            f"outside of what was calibrated: this {what} is unlike {self.fitted['data']}, so how often these verdicts "
            f"err is not known{bar}"
        )


# What words are judged by while a calibration of them is being fitted: it knows nothing.
UNFITTED = Calibration("", "", "", 0.0, dict.fromkeys(FEATURES, 0.0), {"data": "nothing"}, {})


def log_true(p_N: np.ndarray) -> tuple[float, float]:
    """Log-probability that the likeliest of N false claims is true, and that all others are if they are independent."""
    log_true_N = np.log1p(-np.clip(p_N, 0.0, 1 - _SUREST))
    return float(log_true_N.min()), float(log_true_N.sum() - log_true_N.min())


def independent_log_odds(p_N: np.ndarray) -> float:
    """Log-odds that at least one of N words is false, if they were independent and each false with its probability."""
    all_true = sum(log_true(np.maximum(p_N, _SUREST)))
    # log(1 - e^x) - x for x < 0, without loss where x is near 0.
    return float(np.log(-np.expm1(all_true)) - all_true)


def _logistic(score: np.ndarray) -> np.ndarray:
    """Without overflow."""
    return np.exp(-np.logaddexp(0.0, -score))


def _squared_distance(features_NF: np.ndarray, spread: dict) -> np.ndarray:
    offset_NF = features_NF - np.array(spread["mean"])
    return np.einsum("nf,fg,ng->n", offset_NF, np.array(spread["precision"]), offset_NF)


def model_of(record: dict) -> str:
    """What a calibration belongs to: the name of a model, and how its weights are quantised, which makes it another.

    >>> model_of({"id": "m", "quantization": None}), model_of({"id": "m", "quantization": "bitsandbytes, 4 bits"})
    ('m', 'm (bitsandbytes, 4 bits)')
    """
    how = record.get("quantization")
    return f"{record['id']} ({how})" if how else record["id"]


def label(evidence: float, logprob: float, p_false: float, against: float = CLEAR) -> str:
    """The verdict of a word.

    Args:
        evidence: in nats.
        logprob: its log-probability with the picture, in nats.
        p_false: its calibrated probability of being false.
        against: how much evidence speaks against it, in nats; more where the calibration does not hold.

    >>> label(2.3, -0.1, 0.02), label(-5.0, -6.0, 0.97), label(0.01, -0.1, 0.03), label(-0.2, -4.0, 0.3)
    ('grounded', 'against the image', 'language prior', 'undecided')
    """
    if p_false >= FALSE:
        return AGAINST if evidence <= -against else UNDECIDED
    if evidence >= CLEAR:
        return GROUNDED
    return PRIOR if logprob >= LIKELY and logprob - evidence >= LIKELY else UNDECIDED


def judged(
    attribution: Attribution, prior_T: Sequence[float], calibration: Calibration, *, known: bool = True
) -> Attribution:
    """The same attribution with a verdict on each scored word, borne by each of its tokens, and one on the caption.

    Args:
        attribution: scored at the calibration's level and against its reference image, with what
            `settings.check_outcome` asks for.
        prior_T: log-probability of each token with the reference image, in nats.
        calibration: of the model that scored it, or of another, which the result then says.
        known: the picture is of the kind that the model knows; the result says if not.
    """
    groups = [list(tokens) for _, tokens in groupby(attribution.tokens, key=lambda token: token.word)]
    words = [scored for word in groups if (scored := [token for token in word if token.necessity is not None])]
    texts = ["".join(token.text for token in word) for word in words]
    found_W = [features(word, [prior_T[token.index] for token in word], attribution.outcome) for word in words]
    plain = [text.strip() for text in texts]
    first_W, denied_W = first_mentions(plain), denied(plain)
    claims = [place for place, text in enumerate(plain) if is_content(text) and not denied_W[place]]
    made = [place for place in claims if first_W[place] == place]
    features_NF = np.array([calibration.features(found_W[place]) for place in made])
    features_NF = features_NF.reshape(len(made), len(calibration.weights))
    p_N = calibration.p_false(features_NF)
    p_of = dict(zip(made, p_N.tolist(), strict=True))
    record = calibration.record(model_of(attribution.model), known=known, features_NF=features_NF, denies=any(denied_W))
    verdicts: dict[int, dict] = {}
    against: list[dict] = []
    for place, word in enumerate(words):
        verdict = {"evidence": found_W[place]["evidence"], "p_false": None, "verdict": NO_CLAIM}
        if (p_false := p_of.get(first_W[place])) is not None:
            first = found_W[first_W[place]]
            named = label(first["evidence"], first["logprob"], p_false, record["thresholds"]["against_nats"])
            verdict |= {"p_false": p_false, "verdict": named}
            if named == AGAINST:
                text = texts[place]
                begins = word[0].char_start + len(text) - len(text.lstrip())
                told = {"word": text.strip(), "char_start": begins, "char_end": begins + len(text.strip())}
                against.append({**told, "p_false": p_false})
        verdicts.update((token.index, verdict) for token in word)
    unscored = {"evidence": None, "p_false": None, "verdict": None}
    caption = {"p_false": calibration.caption_p_false(p_N), "claims": len(claims), "against": len(against)}
    return replace(
        attribution,
        tokens=[replace(token, **verdicts.get(token.index, unscored)) for token in attribution.tokens],
        verdict=caption | {"words_against": against} | record,
    )


def features(word: Sequence[Token], priors: Sequence[float], outcome: dict) -> dict[str, float]:
    """What a calibration may read of a word: `READABLE`.

    Args:
        word: its tokens.
        priors: their log-probabilities with the reference image.
        outcome: of the result, for the unit of effects.
    """
    logprob = sum(token.logprob or 0.0 for token in word)
    necessity = sum(token.necessity or 0.0 for token in word) / len(word)
    effect = effect_nats(outcome, necessity)
    return {
        "evidence": logprob - sum(priors),
        "logprob": logprob,
        "entropy": sum(token.entropy or 0.0 for token in word),
        "position": float(word[0].index),
        "effect": 0.0 if effect is None else effect,
        "necessity": necessity,
    }


def read_calibration(path: str | os.PathLike | None, level: str, against: str = "colour") -> Calibration:
    """The calibration for a level of scoring and a reference image from a file of `write_calibration`.

    Args:
        path: None is the file of the bundled model.

    Raises:
        InputError: no such file, not such a file, or none for these in it.
    """
    if path is not None and not isinstance(path, str | os.PathLike):
        raise InputError(f"A calibration cannot be {path!r:.40}; give the path of its file.")
    path = BUNDLED if path is None else Path(path)
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if record["schema"] not in (1, SCHEMA):
            raise ValueError
        found = [_checked(_of_schema_1(one) if record["schema"] == 1 else one) for one in record["calibrations"]]
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); check the path of the calibration.") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise InputError(f"{path} is no calibration of verdicts; make one with copo eval verdict --fit.") from None
    if not found:
        raise InputError(f"{path} is no calibration of verdicts; make one with copo eval verdict --fit.")
    of_level = [one for one in found if one.level == level]
    if not of_level:
        raise InputError(f"{path} is not for the level {level}; fit one with copo eval verdict --fit --level {level}.")
    calibration = next((one for one in of_level if one.against == against), None)
    if calibration is None:
        raise InputError(
            f"{path} is not for pictures held against {against}; fit one with copo eval verdict --fit --against "
            f"{against}."
        )
    return calibration


def write_calibration(path: str | os.PathLike[str], calibrations: Sequence[Calibration]) -> None:
    """One file for calibrations of one model, at most one for each level."""
    record = {
        "schema": SCHEMA,
        "calibrations": [asdict(one) for one in calibrations],
        "tool": {"name": "copo", "version": __version__},
    }
    replace_file(path, (json.dumps(record, indent=1, allow_nan=False) + "\n").encode())


def _of_schema_1(record: dict) -> dict:
    """A calibration as files had it before: three weights by name, one colour, and nothing of captions."""
    record = dict(record)
    weights = {name: record.pop(name) for name in ("evidence", "entropy", "necessity")}
    return {**record, "against": "colour", "weights": weights}


def _checked(record: dict) -> Calibration:
    calibration = Calibration(**record)
    numbers = [calibration.intercept, *calibration.weights.values(), *calibration.caption.values()]
    if not all(math.isfinite(number) for number in numbers) or not set(calibration.weights) <= set(READABLE):
        raise ValueError
    if calibration.caption and set(calibration.caption) not in ({"others"}, {"intercept", "slope"}):
        raise ValueError
    if not 0 <= calibration.caption.get("others", 1.0) <= 1:
        raise ValueError
    if set(calibration.error_rates) != set(VERDICTS):
        raise ValueError
    rates = calibration.error_rates.values()
    for rate in rates:
        counted, wrong = rate["words"], rate["wrong"]
        if not isinstance(counted, int) or isinstance(counted, bool) or counted < 0:
            raise ValueError
        if wrong is not None and not 0 <= wrong <= 1:
            raise ValueError
    if any(calibration.error_rates[name]["words"] and calibration.error_rates[name]["wrong"] is None
           for name in (GROUNDED, PRIOR, AGAINST)):  # fmt: skip
        raise ValueError
    told = isinstance(calibration.fitted["data"], str) and "seed" in calibration.fitted
    if not told or not sum(rate["words"] for rate in rates):
        raise ValueError
    # Shapes and finiteness: a distance of the mean to itself is 0.
    if calibration.spread and calibration.distance(np.array([calibration.spread["true"]["mean"]])) != 0.0:
        raise ValueError
    if calibration.spread and not math.isfinite(calibration.spread["threshold"]):
        raise ValueError
    return calibration

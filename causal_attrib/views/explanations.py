"""What a number says of its word, in plain language: one short sentence for each score."""

from __future__ import annotations

import math

from causal_attrib.results.attribution import Attribution, Token
from causal_attrib.views import drawing
from causal_attrib.views.drawing import number

HEADINGS = {
    "causal_completeness": "causal completeness",
    "necessity": "necessity",
    "sufficiency": "sufficiency",
    "logprob": "log-probability",
    "entropy": "entropy",
    "evidence": "evidence",
    "p_false": "p(false)",
}

DEFINITIONS = {
    "verdict": "Whether the picture bears the word out.",
    "causal_completeness": "Necessity and sufficiency in one number.",
    "necessity": "How much the outcome falls when the word is hidden.",
    "sufficiency": "How much the outcome rises when the word is added to what precedes.",
    "logprob": "How likely the model found the word: 0 is certain.",
    "entropy": "How unsure the model was at this place: 0 is sure.",
    "evidence": "Log-probability of the word with the image less that without it.",
    "p_false": "How probably the word is false, by the calibration.",
}

# What words are coloured by, in the order of the switch: the first that there is colours them at first.
SHOWN = {"verdict": "verdict", **HEADINGS}

OF_VERDICTS = {
    "grounded": "The picture makes the word, where first said, twice as likely at least; it is probably true.",
    "against the image": "The picture makes the word, where first said, half as likely at most; it is probably false.",
    "language prior": "The model would say it with and without the picture.",
    "undecided": "The evidence is slight for what is known here, or it contradicts the probability.",
    "no claim": "A function word or a mark, or a word under a negation, which is not judged.",
}

# Effects smaller than this are called small: the size at which harm becomes an alarm.
_CLEAR = -drawing.CLEARLY_NEGATIVE


def written(token: Token, name: str) -> str:
    """The verdict, or the score as it is printed, with its standard error where there is one."""
    if name == "verdict":
        return token.verdict or "–"
    return drawing.with_error(getattr(token, name), token.sufficiency_se if name == "sufficiency" else None)


def sentence(attribution: Attribution, token: Token, name: str) -> str:
    """What the score `name` of a token means.

    >>> sunset = Token(0, "sunset", 9, 0, 0, 6, logprob=-14.37, necessity=-0.238)
    >>> sentence(Attribution("sunset", [sunset]), sunset, "necessity")
    'Without it the outcome rises by 0.238: better without it.'
    >>> sentence(Attribution("sunset", [sunset]), sunset, "logprob")
    'The model gives it a probability of 0.000057 %.'
    """
    value = getattr(token, name)
    if name == "verdict" and value is not None:
        return OF_VERDICTS.get(value, "A verdict of another version.")
    return "Not scored." if value is None else _SENTENCES[name](value, attribution)


def _necessity(value: float, attribution: Attribution) -> str:
    if value <= -_CLEAR:
        return f"Without it the outcome rises by {number(-value)}: better without it."
    if value >= _CLEAR:
        return f"Without it the outcome falls by {number(value)}: it is needed."
    return "Without it the outcome stays about the same."


def _sufficiency(value: float, attribution: Attribution) -> str:
    if value >= _CLEAR:
        return f"Added to what precedes, it raises the outcome by {number(value)}."
    return "Added to what precedes, it raises the outcome little or not at all."


def _completeness(value: float, attribution: Attribution) -> str:
    values = [token.causal_completeness for token in attribution.tokens if token.causal_completeness is not None]
    rank = 1 + sum(other > value for other in values)
    return f"Rank {rank} of {len(values)} in this caption."


def _logprob(value: float, attribution: Attribution) -> str:
    percent = 100 * math.exp(min(value, 0.0))
    if percent >= 99.5:
        return "The model is all but certain to say it here."
    return f"The model gives it a probability of {_two_digits(percent)} %."


def _two_digits(percent: float) -> str:
    """Two significant digits without an exponent, down to where only an exponent can be read."""
    if percent < 1e-6:
        return f"{percent:.0e}"
    rounded = float(f"{percent:.1e}")
    return f"{rounded:.{max(0, 1 - math.floor(math.log10(rounded)))}f}"


def _entropy(value: float, attribution: Attribution) -> str:
    if value < 0.05:
        return "The model sees no alternative at this place."
    if value < math.log(1000):
        return f"As unsure as between {math.exp(value):.1f} equally likely continuations."
    return "As unsure as between more than a thousand equally likely continuations."


def _evidence(value: float, attribution: Attribution) -> str:
    factor = math.exp(min(abs(value), 25.0))
    if factor > 1e9:
        times = "more than a billion"
    elif factor >= 10:
        times = f"{float(f'{factor:.2g}'):,.0f}"
    else:
        times = f"{factor:.1f}"
    return f"The image {'multiplies' if value >= 0 else 'divides'} the probability of the word by {times}."


def _p_false(value: float, attribution: Attribution) -> str:
    return f"The word is false with a probability of {100 * min(max(value, 0.0), 1.0):.0f} %, if the calibration holds."


_SENTENCES = {
    "causal_completeness": _completeness,
    "necessity": _necessity,
    "sufficiency": _sufficiency,
    "logprob": _logprob,
    "entropy": _entropy,
    "evidence": _evidence,
    "p_false": _p_false,
}

"""Effects in nats: by how much hiding a word changes the log-odds of the outcome.

Necessity is a difference of outcomes between 0 and 1, and for the outcome grounding, a mean over the caption's T
tokens, it shrinks as 1/T: the same word has a quarter of it in a caption four times as long. In nats it does not:

    effect = scale * ( logit(r) - logit(r - necessity) )

with scale = T for grounding, where it is the change of the caption's summed evidence, and 1 for outcomes that are a
probability themselves.
"""

from __future__ import annotations

import math

# A word whose hiding raises the outcome by so much is marked: e^2, 7 times as likely without it.
LARGE = 2.0


def effect_nats(outcome: dict, necessity: float | None) -> float | None:
    """The effect of hiding a word, in nats; negative: the outcome is likelier without it.

    None where the outcome is no probability of something (F1, right or wrong), or it or the necessity is not known.

    Args:
        outcome: of a result, with its `value` and `scale`.

    >>> effect_nats({"value": 0.5, "scale": 10}, 0.0)
    0.0
    >>> round(effect_nats({"value": 0.5, "scale": 1}, 0.25), 4)
    1.0986
    """
    if necessity is None or "scale" not in outcome or "value" not in outcome:
        return None
    return outcome["scale"] * (_logit(outcome["value"]) - _logit(outcome["value"] - necessity))


def _logit(r: float) -> float:
    # An outcome of 0 or 1 is one that was rounded to it.
    r = min(max(r, 1e-12), 1 - 1e-12)
    return math.log(r) - math.log1p(-r)

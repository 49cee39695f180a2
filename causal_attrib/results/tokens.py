"""One token of a caption and its scores."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Token:
    """One token of a caption, where it stands in it, and its scores.

    A score is None where it was not asked for or makes no sense (tags, answer tokens).

    index:              place among the caption's tokens, from 0
    text:               the slice of the caption it covers, a leading space included
    id:                 its id in the model's vocabulary (None for a whole word, see `Attribution.words`)
    word:               number of the word it belongs to, from 0
    char_start:         where `text` begins in the caption, in characters
    char_end:           where it ends (exclusive)
    logprob:            log-probability given the image and all that precedes, in nats; <= 0
    entropy:            entropy of the prediction at its place, in nats; >= 0
    sufficiency:        how much adding it to what precedes raises the outcome; higher means it helps more
    sufficiency_se:     standard error of `sufficiency` over the sampled completions; None when nothing was sampled
    necessity:          how much hiding it lowers the outcome; negative: the outcome is better without it
    causal_completeness: lambda_s * clip(sufficiency, 0, 1) + lambda_n * clip(necessity, 0, 1)

    Verdicts are of words; where they were asked for, each token bears that of its word:

    evidence:           log-probability of the word with the image less that without, in nats
    p_false:            calibrated probability that the word is false, in [0, 1]
    verdict:            "grounded", "against the image", "language prior", "undecided" or "no claim"; like p_false
                        that of the word of the caption that first claims the same

    signals:            numbers of the token by name, where they were asked for (`scores.signals`)
    """

    index: int
    text: str
    id: int | None
    word: int
    char_start: int
    char_end: int
    logprob: float | None = None
    entropy: float | None = None
    sufficiency: float | None = None
    sufficiency_se: float | None = None
    necessity: float | None = None
    causal_completeness: float | None = None
    evidence: float | None = None
    p_false: float | None = None
    verdict: str | None = None
    signals: dict[str, float] | None = None


# Without the signals, which are columns of their own.
FIELDS = tuple(column.name for column in fields(Token))[:-1]
# What every result has, and what only those have that were asked for verdicts.
COLUMNS, VERDICT_COLUMNS = FIELDS[: FIELDS.index("evidence")], FIELDS[FIELDS.index("evidence") :]
SCORES = COLUMNS[COLUMNS.index("logprob") :]
NUMBERS = (*SCORES, "evidence", "p_false")


def signal_column(name: str) -> str:
    """What a signal is called in a table: by its name, unless a column for something else has that.

    >>> signal_column("kl"), signal_column("evidence")
    ('kl', 'signal_evidence')
    """
    return f"signal_{name}" if name in FIELDS else name

"""The signals that are compared: those of `scores.signals`, COPO's, what the model says when asked, and controls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from causal_attrib.choices import SIGNALS, Against, OutcomeWords
from causal_attrib.errors import InputError

COPO = ("sufficiency", "necessity", "causal_completeness", "effect")
# How the outcome of COPO's scores is taken, by the end of their names: what the picture is held against, and over which
# words.
COPO_OUTCOMES: dict[str, tuple[Against, OutcomeWords]] = {
    "": ("colour", "all"),
    "_blur": ("blur", "all"),
    "_content": ("colour", "content"),
}
ASKED = ("p_yes", "p_yes_gain")
NAMING = ("naming", "naming_evidence")
VIEWS = "image_logit_views"
CONSISTENCY, BASE_RATE, PROBE = "consistency", "base_rate", "probe"
# Of `scores.signals`, and known without the picture: what any detector is to be held against.
CONTROLS = ("position", BASE_RATE)
# All of them, in the order of `known`.
NAMES = (
    *SIGNALS,
    *(f"{name}{end}" for end in COPO_OUTCOMES for name in COPO),
    *ASKED,
    *NAMING,
    VIEWS,
    CONSISTENCY,
    BASE_RATE,
    PROBE,
)


@dataclass(frozen=True)
class Column:
    """A signal: what it is, what it costs beside a caption's own forward, and the sign with which higher is truer."""

    name: str
    means: str
    cost: str
    truer: int


def known() -> dict[str, Column]:
    """All signals by name."""
    # Imports torch, which whoever checks a name need not wait for.
    from causal_attrib.scores import signals

    columns = [Column(name, one.means, str(one.forwards), one.truer) for name, one in signals.SIGNALS.items()]
    told = {"": "against one colour", "_blur": "against the picture blurred", "_content": "of content words only"}
    for end in COPO_OUTCOMES:
        columns += [Column(f"{name}{end}", f"{_COPO[name]}, {told[end]}", "", 1) for name in COPO]
    columns += [
        Column("p_yes", "P(yes) to whether there is such an object", "2 a noun", 1),
        Column("p_yes_gain", "the same less that behind one colour", "4 a noun", 1),
        Column("naming", "log-probability that captions of the picture's views name the object", "20 captions", 1),
        Column("naming_evidence", "the same less that behind one colour", "30 captions", 1),
        Column(VIEWS, "largest logit of the object over image tokens, mean of the picture's views", "4 a picture", 1),
        Column(CONSISTENCY, "share of the other sampled captions that name the object", "captions", 1),
        Column(BASE_RATE, "control: how often the word is true in other images", "labels", 1),
        Column(PROBE, "logistic regression on the hidden states that predict the word", "fitted, 1", -1),
    ]
    return {column.name: column for column in columns}


_COPO = {
    "sufficiency": "COPO's sufficiency",
    "necessity": "COPO's necessity",
    "causal_completeness": "COPO's causal completeness",
    "effect": "necessity in nats",
}


def chosen(signals: str | Sequence[str]) -> tuple[list[str], bool]:
    """Names of signals, and whether they are simply all, so that those that a model lacks may be left out.

    Raises:
        InputError: there is no such signal.
    """
    if not isinstance(signals, str | Sequence):
        raise InputError(f"The signals are {signals!r:.40}; give a list of their names, or all.")
    names = [name.strip() for name in signals.split(",")] if isinstance(signals, str) else list(signals)
    if names == ["all"]:
        return list(NAMES), True
    unknown = [name for name in names if name not in NAMES]
    if unknown or not names:
        raise InputError(f"There is no signal {', '.join(unknown)!r}; choose from {', '.join(NAMES)}, or all.")
    return list(dict.fromkeys(names)), False

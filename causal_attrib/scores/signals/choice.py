"""The signals by name: what each costs, which way it points, and how those of a word's tokens become one number."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image

from causal_attrib.choices import SIGNAL_REFERENCES, signal_names
from causal_attrib.errors import InputError
from causal_attrib.scores.signals import dependency, predicted
from causal_attrib.scores.signals.attention_ratio import attention_ratio
from causal_attrib.scores.signals.glsim import glsim
from causal_attrib.scores.signals.image_logit import image_logit, image_logit_gain
from causal_attrib.scores.signals.logit_lens import logit_lens
from causal_attrib.scores.signals.readings import Readings
from causal_attrib.scores.signals.spoilt import DRAWS
from causal_attrib.vlm import VLM, Encoding

Pool = Literal["sum", "mean", "first"]


@dataclass(frozen=True)
class Signal:
    """A number for each token.

    read:      gives it (T,)
    means:     what it is, in a line
    forwards:  what it costs beside the caption's own forward
    pool:      how those of a word's tokens become one: their sum for log-probabilities, the first token's for what
               belongs to the state that is about to say the word, the mean for the rest
    truer:     1 where a higher number speaks for the word, -1 where it speaks against it
    """

    read: Callable[[Readings], np.ndarray]
    means: str
    forwards: int
    pool: Pool
    truer: int


def _read_against(of: Callable[[Readings, str], np.ndarray], reference: str, readings: Readings) -> np.ndarray:
    return of(readings, reference)


def _against(name: str, of: Callable[[Readings, str], np.ndarray], means: str, truer: int = 1) -> dict[str, Signal]:
    """The same signal for every reference image; that of one colour has the plain name."""
    held = {"colour": "a picture of one colour", "blur": "the picture blurred", "patches": "half of its patches black"}
    held["other"] = "another picture"
    return {
        f"{name}{end}": Signal(
            functools.partial(_read_against, of, reference),
            f"{means}, held against {held[reference]}",
            DRAWS if reference == "patches" else 1,
            "sum",
            truer,
        )
        for end, reference in SIGNAL_REFERENCES.items()
    }


# By the names of `choices.SIGNALS`, where they stand for whoever needs no more of them, and no torch.
SIGNALS: dict[str, Signal] = {
    "logprob": Signal(predicted.logprob, "log-probability of the word", 0, "sum", 1),
    "entropy": Signal(predicted.entropy, "entropy of the prediction", 0, "sum", -1),
    "margin": Signal(predicted.margin, "log-probability of the likeliest token less that of the next", 0, "first", 1),
    "rank": Signal(predicted.rank, "how many tokens were likelier", 0, "mean", -1),
    "position": Signal(predicted.position, "place in the caption, from 0 to 1", 0, "first", -1),
    **_against("evidence", dependency.evidence, "log-probability that the picture adds"),
    **_against("prior", dependency.prior, "log-probability without the picture"),
    **_against("kl", dependency.kl, "visual dependency: KL divergence over the vocabulary"),
    **_against("k3", dependency.k3, "visual dependency: k3 estimate on the token"),
    "logit_lens": Signal(logit_lens, "largest probability of the word over image tokens and layers", 1, "first", 1),
    "image_logit": Signal(image_logit, "largest logit of the word over image tokens as they enter", 1, "first", 1),
    "image_logit_gain": Signal(image_logit_gain, "the same less that of a picture of one colour", 2, "first", 1),
    "glsim": Signal(glsim, "global and local similarity of hidden states", 1, "first", 1),
    "attention_ratio": Signal(attention_ratio, "attention on the picture in the middle layers", 1, "first", 1),
}


def take(
    vlm: VLM,
    encoding: Encoding,
    names: Sequence[str],
    *,
    seed: int = 0,
    other: Image.Image | None = None,
) -> dict[str, np.ndarray]:
    """Signals of each token of a caption, (T,) each; forwards that several of them need are made once.

    Args:
        names: of `SIGNALS`.
        seed: of blackened patches.
        other: the picture that those with "_other" hold the caption against.

    Raises:
        InputError: there is no such signal, or the model has no such thing.
    """
    readings = Readings(vlm, encoding, seed=seed, other=other)
    return {name: SIGNALS[name].read(readings) for name in signal_names(names)}


def take_all(readings: Readings, names: Sequence[str]) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Those of `names` that can be had of a caption, (T,) each, and for the others the reason why not."""
    found: dict[str, np.ndarray] = {}
    lacking: dict[str, str] = {}
    for name in names:
        try:
            found[name] = checked(name, SIGNALS[name].read(readings))
        except InputError as error:
            lacking[name] = str(error)
    return found, lacking


def checked(name: str, values_T: np.ndarray) -> np.ndarray:
    """Raises InputError unless all are numbers."""
    if not np.isfinite(values_T).all():
        place = int(np.flatnonzero(~np.isfinite(values_T))[0])
        raise InputError(
            f"The signal {name} of token {place} is {values_T[place]}; leave it out: the model rules the token out."
        )
    return values_T


def pooled(values_T: np.ndarray, tokens: Sequence[int], pool: Pool) -> float:
    """One number of the tokens of a word.

    >>> pooled(np.array([1.0, 2.0, 6.0]), [1, 2], "sum"), pooled(np.array([1.0, 2.0, 6.0]), [1, 2], "first")
    (8.0, 2.0)
    """
    of = values_T[list(tokens)]
    return float(of[0] if pool == "first" else of.sum() if pool == "sum" else of.mean())

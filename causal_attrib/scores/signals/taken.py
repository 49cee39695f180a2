"""Signals as they stand beside the scores of a caption: a number for each token, what they are, and what they took."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from causal_attrib.choices import SIGNALS as NAMES
from causal_attrib.choices import signal_names
from causal_attrib.errors import InputError
from causal_attrib.scores.signals.choice import SIGNALS, take_all
from causal_attrib.scores.signals.readings import Readings
from causal_attrib.vlm import VLM, Encoding

_NO_OTHER = "that takes another picture, and there is one only; copo eval detection has others."


@dataclass(frozen=True)
class Taken:
    """Signals of one caption.

    values:   (T,) by name
    left_out: why the model, or the caption, does not have those that are missing
    forwards, positions: that they took beside what scoring reads
    """

    values: Mapping[str, np.ndarray]
    left_out: Mapping[str, str]
    forwards: int
    positions: int

    @property
    def record(self) -> dict[str, Any]:
        """What a result says of them."""
        return {
            "columns": {
                name: {"meaning": SIGNALS[name].means, "pool": SIGNALS[name].pool, "truer": SIGNALS[name].truer}
                for name in self.values
            },
            "left_out": dict(self.left_out),
            "forwards": self.forwards,
            "positions": self.positions,
        }

    def of_token(self, t: int) -> dict[str, float]:
        return {name: float(values_T[t]) for name, values_T in self.values.items()}


def signals_of(
    vlm: VLM, encoding: Encoding, signals: str | Sequence[str], logits_TV: Tensor | None = None, *, seed: int = 0
) -> Taken:
    """The signals of a caption.

    Args:
        signals: their names, or "all", which leaves out what cannot be had and says why.
        logits_TV: that predict the caption's tokens, if they have been read.
        seed: of blackened patches.

    Raises:
        InputError: one was asked for by name and cannot be had.
    """
    names = signal_names(signals)
    everything = names == NAMES
    alone = [name for name in names if not name.endswith("_other")]
    readings = Readings(vlm, encoding, seed=seed, logits_TV=logits_TV)
    values, lacking = take_all(readings, alone)
    if lacking and not everything:
        name, reason = next(iter(lacking.items()))
        raise InputError(f"There is no signal {name} here: {reason}")
    left_out = {name: lacking.get(name, _NO_OTHER) for name in names if name not in values}
    whole = encoding.prompt_length + len(encoding.response_ids)
    return Taken(values, left_out, readings.forwards, readings.forwards * whole)

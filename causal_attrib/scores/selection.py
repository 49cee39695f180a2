"""Which units of a caption are intervened upon (`--tokens`). What is left out has no score. No torch is imported."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from causal_attrib.errors import InputError
from causal_attrib.words.claims import is_content

if TYPE_CHECKING:
    import numpy as np

    from causal_attrib.vlm import Encoding

Unit = tuple[int, ...]

# Of all units, where no number is given.
_SHARE = 0.2
_NAMES = ("all", "content", "top-entropy", "top-logprob-gap")
_FORM = re.compile(r"(all|content)|(?:(top-entropy|top-logprob-gap)(?::(\d{1,9}))?)|(\d{1,9})")


@dataclass(frozen=True)
class Selection:
    """What is chosen by, and how many; None is a fifth of the units, or all that are of the kind.

    name: "all"; "content", words that are no English function words; "top-entropy", where the model was least sure;
        "top-logprob-gap", where the picture changes the log-probability the most, up or down, against the reference
        image
    """

    name: str
    count: int | None = None

    @property
    def needs_scan(self) -> bool:
        """Whether the caption has to be read first."""
        return self.name.startswith("top-")

    @property
    def needs_prior(self) -> bool:
        """Whether it has to be read behind the reference image too."""
        return self.name == "top-logprob-gap"

    def most(self, units: int) -> int:
        """How many of so many units are chosen at most."""
        if not self.needs_scan:
            return units
        return min(units, math.ceil(_SHARE * units - 1e-9) if self.count is None else self.count)

    def choose(
        self,
        encoding: Encoding,
        units: Sequence[Unit],
        *,
        entropy_T: np.ndarray | None = None,
        logprob_T: np.ndarray | None = None,
        prior_T: np.ndarray | None = None,
    ) -> tuple[Unit, ...]:
        """The units that are chosen, in their order.

        Args:
            entropy_T, logprob_T: of the caption's tokens, in nats; a unit's entropy is the highest of its tokens.
            prior_T: log-probabilities behind the reference image.
        """
        if self.name == "all":
            return tuple(units)
        if self.name == "content":
            texts: dict[int, str] = {}
            for word, (start, end) in zip(encoding.words, encoding.spans, strict=True):
                texts[word] = texts.get(word, "") + encoding.response[start:end]
            content = {word for word, text in texts.items() if is_content(text.strip())}
            return tuple(unit for unit in units if any(encoding.words[t] in content for t in unit))
        if self.name == "top-entropy":
            assert entropy_T is not None
            worth = [max(entropy_T[t] for t in unit) for unit in units]
        else:
            assert logprob_T is not None and prior_T is not None
            worth = [abs(sum(logprob_T[t] - prior_T[t] for t in unit)) for unit in units]
        order = sorted(range(len(units)), key=lambda u: -worth[u])[: self.most(len(units))]
        return tuple(units[u] for u in sorted(order))


def selection_of(tokens: str) -> Selection:
    """The selection that `--tokens` names; a number alone is that of units by `top-logprob-gap`.

    Raises:
        InputError: it names none.

    >>> selection_of("top-entropy:8"), selection_of("40")
    (Selection(name='top-entropy', count=8), Selection(name='top-logprob-gap', count=40))
    """
    told = _FORM.fullmatch(tokens)
    number = told and (told[3] or told[4])
    if told is None or (number and int(number) == 0):
        raise InputError(
            f"There is no choice of tokens {tokens!r}; choose one of {', '.join(_NAMES)}, or a number from 1 up "
            "(or top-entropy:8)."
        )
    return Selection(told[1] or told[2] or "top-logprob-gap", int(number) if number else None)

"""Coarse to fine: sentences first, then the words of those that matter.

To hide each word of an answer of T tokens in turn costs T^2 / 2 token positions. Here an answer is cut into parts, each
of which is hidden as a whole; the parts that matter most are opened and their own parts hidden in turn, down to words.
What one round of this costs is bounded by a number of ordinary forwards, so that the whole grows with T and not with
its square. What is not opened is not said to be without effect: its effect as a whole was measured, and is stated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import chain, pairwise
from typing import Any

import numpy as np

Unit = tuple[int, ...]

# Rounds of an answer, and what each may cost: token positions of so many ordinary forwards over prompt and answer.
ROUNDS = 6
FORWARDS = 6
# What changes the outcome by less as a whole is not opened: nats, or points of an outcome that has no nats.
NOTHING_NATS, NOTHING = 0.1, 0.01
# A part is left for the next round where there is room for fewer of its own parts than this.
_WORTH_OPENING = 4


@dataclass(eq=False)
class Part:
    """Tokens that are hidden and kept together.

    kind:     "sentences", "sentence", "words" (of one sentence) or "word"
    tokens:   those that are hidden
    children: what it can be opened into
    worth:    how much it matters, None until that was measured
    scores:   what was measured
    sampled:  bounds of its sufficiency and how many completions were drawn
    """

    kind: str
    tokens: Unit
    children: tuple[Part, ...] = ()
    worth: float | None = None
    scores: dict[str, float | None] = field(default_factory=dict)
    sampled: dict[str, float | None] = field(default_factory=dict)
    opened: bool = False


class Refinement:
    """Which parts are to be measured next.

    Args:
        sentences: tokens of each sentence.
        words: those words that may be scored, each within one sentence; a sentence without any is not opened.
        cost: token positions that it takes to measure a unit.
        budget: positions of one round.
    """

    def __init__(self, sentences: Sequence[Unit], words: Sequence[Unit], cost: Callable[[Unit], float], budget: float):
        inside: dict[Unit, list[Part]] = {sentence: [] for sentence in sentences}
        sentence_of = {t: sentence for sentence in sentences for t in sentence}
        for word in words:
            inside[sentence_of[word[0]]].append(Part("word", word))
        parts = tuple(Part("sentence", sentence, tuple(inside[sentence])) for sentence in sentences)
        self.cost, self.budget, self.rounds = cost, budget, 0
        self.measured: list[Part] = []
        self._text = Part("sentences", tuple(chain(*sentences)), parts)

    def next_round(self, floor: float) -> list[Part]:
        """The parts that are to be measured, none when all is done.

        Args:
            floor: parts whose worth is less are not opened.
        """
        if self.rounds == 0:
            waiting = [self._text]
        else:
            waiting = sorted((p for p in self.closed if (p.worth or 0.0) >= floor), key=lambda p: -(p.worth or 0.0))
        if self.rounds == ROUNDS:
            return []
        found: list[Part] = []
        room = self.budget
        for part in waiting:
            of_each = sum(self.cost(child.tokens) for child in part.children) / len(part.children)
            fit, count = int(room / max(of_each, 1.0)), len(part.children)
            if fit < min(_WORTH_OPENING, count) and found:
                break
            pieces = _grouped(part.children, max(fit, min(2, count)))
            part.opened = True
            found += pieces
            room -= sum(self.cost(piece.tokens) for piece in pieces)
        self.measured += found
        self.rounds += bool(found)
        return found

    @property
    def closed(self) -> list[Part]:
        """Parts that were measured and could be opened, and were not."""
        return [part for part in self.measured if part.children and not part.opened]

    @property
    def words(self) -> list[Part]:
        """The words that were measured, in the order of the text."""
        return sorted((part for part in self.measured if part.kind == "word"), key=lambda part: part.tokens)

    def record(self, unit: str, together: float | None, spans: Sequence[tuple[int, int]]) -> dict[str, Any]:
        """The entry `refinement` of the JSON schema (`results.attribution`).

        Args:
            unit: of worths, "nats" or "outcome".
            together: the worth of all that is closed, hidden at once.
            spans: of the response's tokens, in characters.
        """
        parts = sorted(
            (part for part in self.measured if part.kind != "word"),
            key=lambda part: (part.tokens[0], -len(part.tokens)),
        )
        return {
            "unit": unit,
            "below": max((part.worth or 0.0 for part in self.closed), default=None),
            "together": together,
            "rounds": self.rounds,
            "forwards_per_round": FORWARDS,
            "parts": [
                {
                    "kind": part.kind,
                    "first": part.tokens[0],
                    "last": part.tokens[-1],
                    "char_start": spans[part.tokens[0]][0],
                    "char_end": spans[part.tokens[-1]][1],
                    "opened": part.opened,
                    **part.scores,
                }
                for part in parts
            ],
        }


def _grouped(children: Sequence[Part], most: int) -> list[Part]:
    """The children, or `most` groups of them in a row where there are more."""
    if len(children) <= most:
        return list(children)
    bounds = np.linspace(0, len(children), most + 1).round().astype(int).tolist()
    groups = [children[start:end] for start, end in pairwise(bounds)]
    return [
        group[0]
        if len(group) == 1
        else Part(f"{group[0].kind}s", tuple(chain(*(part.tokens for part in group))), tuple(group))
        for group in groups
    ]

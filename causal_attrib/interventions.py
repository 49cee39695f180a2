"""Edits of a response: what is kept, what is hidden, what the model writes anew. Pure data, no tensors.

A plan is a tuple of interventions: it can be printed and counted before anything runs.

>>> from causal_attrib.interventions import Keep, Mask, Whole
>>> plan = (Whole(), *(Mask((t,)) for t in range(3)), Keep(0))
>>> len(plan), plan[1]
(5, Mask(tokens=(0,), fill='zero'))
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Whole:
    """The response as it is."""


@dataclass(frozen=True)
class Keep:
    """The first `count` tokens of the response; the rest never enters the context."""

    count: int


@dataclass(frozen=True)
class Mask:
    """The response with some tokens hidden, the rest kept.

    fill: "zero" or "mean" replace the input embedding (position and attention kept), "token" puts the tokenizer's mask
    (else unknown, else padding) token in its place, "delete" closes the gap.
    """

    tokens: tuple[int, ...]
    fill: str = "zero"


@dataclass(frozen=True)
class Rewrite:
    """The first `count` tokens, some of them hidden, and the rest written anew by the model (greedy).

    This is what "regenerate with the word masked" means where the caption itself is the answer; the hidden words are
    left out of the text that is judged (docs/scores.md).
    """

    count: int
    tokens: tuple[int, ...] = ()
    fill: str = "zero"


Intervention = Whole | Keep | Mask | Rewrite


@dataclass(frozen=True)
class Edited:
    """A response after an edit: its ids, which of them are hidden, and how; which tokens of the response are gone from
    between them, without which nobody could tell what the ids behind them were; and whether it goes on with others,
    which were written behind it."""

    ids: tuple[int, ...]
    hidden: tuple[int, ...] = ()
    fill: str = "zero"
    gone: tuple[int, ...] = field(default=(), repr=False)
    completed: bool = field(default=False, repr=False)

    @property
    def visible(self) -> tuple[int, ...]:
        """Indices of the ids that are not hidden."""
        hidden = set(self.hidden)
        return tuple(i for i in range(len(self.ids)) if i not in hidden)

    @property
    def places(self) -> tuple[int, ...]:
        """Which tokens of the response the visible ids are, where none was written anew."""
        left = [i for i in range(len(self.ids) + len(self.gone)) if i not in set(self.gone)]
        return tuple(left[i] for i in self.visible)


def edit(response_ids: tuple[int, ...], intervention: Intervention, mask_id: int) -> Edited:
    """Carry out an intervention on the ids of a response (without what is written anew).

    >>> edit((5, 6, 7), Keep(2), mask_id=0)
    Edited(ids=(5, 6), hidden=(), fill='zero')
    >>> edit((5, 6, 7), Mask((1,)), mask_id=0)
    Edited(ids=(5, 6, 7), hidden=(1,), fill='zero')
    >>> edit((5, 6, 7), Mask((1,), "token"), mask_id=0)
    Edited(ids=(5, 0, 7), hidden=(1,), fill='token')
    >>> edit((5, 6, 7), Mask((1,), "delete"), mask_id=0)
    Edited(ids=(5, 7), hidden=(), fill='delete')
    """
    match intervention:
        case Whole():
            return Edited(response_ids)
        case Keep(count):
            return Edited(response_ids[:count])
        case Mask(tokens, fill):
            return _hide(response_ids, tokens, fill, mask_id)
        case Rewrite(count, tokens, fill):
            return _hide(response_ids[:count], tokens, fill, mask_id)


def _hide(ids: tuple[int, ...], tokens: tuple[int, ...], fill: str, mask_id: int) -> Edited:
    if fill == "delete":
        gone = set(tokens)
        return Edited(tuple(token for i, token in enumerate(ids) if i not in gone), (), fill, tokens)
    if fill == "token":
        gone = set(tokens)
        return Edited(tuple(mask_id if i in gone else token for i, token in enumerate(ids)), tokens, fill)
    return Edited(ids, tokens, fill)

"""A reward of the user's own, whose results are looked at before TRL has them.

TRL takes NaN for "nothing to say", and what else is wrong it tells in the words of whatever failed on it, behind the
first sampling. Here it is one sentence that names the reward.
"""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Iterable
from typing import Any

from causal_attrib.errors import InputError

# Larger numbers are infinite in float32, in which TRL keeps rewards.
_LARGEST = 3.4e38


class Conversation(list):
    """A list of messages that is no text, and says so where a list would answer a question about text with no.

    TRL hands completions of models that see over as messages; a reward that took them for text would be 0 throughout.

    >>> "dog" in Conversation([{"role": "assistant", "content": "a dog"}])
    Traceback (most recent call last):
    TypeError: a completion is a list of messages, and completion[-1]["content"] is its text
    """

    def count(self, value: Any) -> int:
        return super().count(_no_text(value))

    def index(self, value: Any, *between: Any) -> int:
        return super().index(_no_text(value), *between)

    def __contains__(self, value: object) -> bool:
        return super().__contains__(_no_text(value))

    def __eq__(self, other: object) -> bool:
        return super().__eq__(_no_text(other))

    def __ne__(self, other: object) -> bool:
        return super().__ne__(_no_text(other))

    def __getitem__(self, place: Any) -> Any:
        found = super().__getitem__(place)
        return Conversation(found) if isinstance(place, slice) else found

    def __add__(self, other: Any) -> Conversation:
        return Conversation(super().__add__(other))

    def copy(self) -> Conversation:
        return Conversation(self)


class Message(dict):
    """A message, which is no letter either: `completion[0] == "a"` would be False of every completion."""

    __hash__ = None

    def __eq__(self, other: object) -> bool:
        return super().__eq__(_no_text(other))

    def __ne__(self, other: object) -> bool:
        return super().__ne__(_no_text(other))


def _no_text(value: Any) -> Any:
    if isinstance(value, str):
        raise TypeError('a completion is a list of messages, and completion[-1]["content"] is its text')
    return value


def checked(name: str, reward: Callable[..., Any]) -> Callable[..., Any]:
    """The same reward, plain or asynchronous, which returns numbers or raises an `InputError` that names it.

    >>> halves = checked("mine:halves", lambda completions, **_: [0.5 for _ in completions])
    >>> halves(completions=["a", "b"])
    [0.5, 0.5]
    """

    def judge(**told: Any) -> list[float | None]:
        try:
            given = reward(**told | _as_conversations(told["completions"]))
            # A generator runs here.
            given = list(given) if inspect.isgenerator(given) else given
        except Exception as error:
            raise _failed(name, error) from error
        return numbers(name, given, len(told["completions"]))

    async def judge_later(**told: Any) -> list[float | None]:
        try:
            given = await reward(**told | _as_conversations(told["completions"]))
        except Exception as error:
            raise _failed(name, error) from error
        return numbers(name, given, len(told["completions"]))

    made = functools.update_wrapper(judge_later if is_async(reward) else judge, reward)
    # TRL logs a reward under it; what is callable need not have one.
    made.__name__ = getattr(reward, "__name__", name.rpartition(":")[2])
    return made


def _as_conversations(completions: Iterable[Any]) -> dict[str, list]:
    return {"completions": [_as_conversation(one) if type(one) is list else one for one in completions]}


def _as_conversation(messages: list) -> Conversation:
    return Conversation(Message(one) if type(one) is dict else one for one in messages)


def is_async(reward: Callable[..., Any]) -> bool:
    """Whether its results have to be awaited."""
    while isinstance(reward, functools.partial):
        reward = reward.func
    return inspect.iscoroutinefunction(reward) or inspect.iscoroutinefunction(type(reward).__call__)


def numbers(name: str, given: Any, count: int) -> list[float | None]:
    """What a reward returned as one number per completion, None where it has nothing to say.

    Raises:
        InputError: it is anything else.

    >>> numbers("mine", (True, None, 0.5), 3)
    [1.0, None, 0.5]
    """
    if isinstance(given, (str, bytes, dict)) or not isinstance(given, Iterable):
        raise InputError(f"The reward {name} returned {_short(given)}; return a list of one number per completion.")
    try:
        values = list(given)
    except TypeError:  # an array without axes
        raise InputError(
            f"The reward {name} returned {_short(given)}; return a list of one number per completion."
        ) from None
    if len(values) != count:
        raise InputError(
            f"The reward {name} returned {len(values)} values for {count} completions; return one for each."
        )
    return [None if value is None else _number(name, value) for value in values]


def _number(name: str, value: Any) -> float:
    try:
        number = math.nan if isinstance(value, (str, bytes)) else float(value)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        number = math.nan
    # The other way round NaN would pass.
    if not abs(number) <= _LARGEST:
        raise InputError(
            f"The reward {name} returned {_short(value)} where a number should be; return one number per completion, "
            "or None where it has nothing to say."
        )
    return number


def _failed(name: str, error: Exception) -> Exception:
    """What is to be raised: too little memory and our own sentences are told elsewhere."""
    if isinstance(error, (InputError, MemoryError)) or type(error).__name__ == "OutOfMemoryError":
        return error
    said = " ".join(str(error).split())
    return InputError(
        f"The reward {name} failed with {type(error).__name__} ({said[:120]}); mend it (--debug shows where)."
    )


def _short(value: Any) -> str:
    shown = " ".join(repr(value).split())
    return shown if len(shown) <= 60 else f"{shown[:60]}..."

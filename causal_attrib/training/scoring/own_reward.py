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


def checked(name: str, reward: Callable[..., Any]) -> Callable[..., Any]:
    """The same reward, plain or asynchronous, which returns numbers or raises an `InputError` that names it.

    >>> halves = checked("mine:halves", lambda completions, **_: [0.5 for _ in completions])
    >>> halves(completions=["a", "b"])
    [0.5, 0.5]
    """

    def judge(**told: Any) -> list[float | None]:
        try:
            given = reward(**told)
            # A generator runs here.
            given = list(given) if inspect.isgenerator(given) else given
        except Exception as error:
            raise _failed(name, error) from error
        return numbers(name, given, len(told["completions"]))

    async def judge_later(**told: Any) -> list[float | None]:
        try:
            given = await reward(**told)
        except Exception as error:
            raise _failed(name, error) from error
        return numbers(name, given, len(told["completions"]))

    made = functools.update_wrapper(judge_later if is_async(reward) else judge, reward)
    # TRL logs a reward under it; what is callable need not have one.
    made.__name__ = getattr(reward, "__name__", name.rpartition(":")[2])
    return made


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

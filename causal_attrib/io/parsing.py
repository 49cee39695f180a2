"""What every reader of strangers' files shares: what a parser may raise, strict JSON, and how a value is echoed.

No parser keeps to its documented errors on hostile bytes: deep JSON is a RecursionError, an integer of 5,000 digits a
plain ValueError, a date of the year 300,000 an OverflowError. All of them say the same: the file is not what it should
be.
"""

from __future__ import annotations

import csv
import json
import re
import reprlib
import struct
import zlib
from typing import Any, NoReturn, cast

from PIL import Image

# A MemoryError is not among them: it says nothing of the file.
PARSER_ERRORS: tuple[type[Exception], ...] = (
    ValueError,  # UnicodeError, json.JSONDecodeError and pyarrow.ArrowInvalid too
    TypeError,
    AttributeError,
    LookupError,
    ArithmeticError,
    RecursionError,
    NotImplementedError,
    SyntaxError,  # Pillow's word for a broken PNG
    EOFError,
    OSError,
    csv.Error,
    struct.error,
    zlib.error,
)

# And what Pillow raises beside them. Its own annotations hide that the last is an exception.
PICTURE_ERRORS: tuple[type[Exception], ...] = (*PARSER_ERRORS, cast("type[Exception]", Image.DecompressionBombError))

# Characters of a value that an error shows.
LONGEST_ECHO = 80
# Levels of lists and objects in a value. The parser's own limit depends on the version of Python.
DEEPEST = 100


def parse_json(text: str) -> Any:
    """One JSON value.

    Raises:
        ValueError: it is not JSON, or holds NaN or Infinity, a number too large for a float, a key twice, more than
            `DEEPEST` levels, or an integer of thousands of digits.
    """
    try:
        value = json.loads(text, cls=StrictDecoder)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    check_depth(value)
    return value


def check_depth(value: object) -> None:
    """Raises ValueError if lists and objects stand in each other more than `DEEPEST` deep."""
    level = [value]
    for _ in range(DEEPEST + 1):
        level = [
            item
            for one in level
            if isinstance(one, (dict, list))
            for item in (one.values() if isinstance(one, dict) else one)
            if isinstance(item, (dict, list))
        ]
        if not level:
            return
    raise ValueError(_TOO_DEEP)


class StrictDecoder(json.JSONDecoder):
    """JSON as the standard has it: without NaN and Infinity, and without a second value for a key."""

    def __init__(self) -> None:
        super().__init__(parse_constant=_no_constant, parse_float=_finite, object_pairs_hook=_each_key_once)


_SURROGATE = re.compile("[\ud800-\udfff]")
_TOO_DEEP = f"it nests deeper than {DEEPEST} levels"


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _finite(digits: str) -> float:
    number = float(digits)
    if number in (float("inf"), float("-inf")):
        raise ValueError(f"{cut(digits)} is too large a number")
    return number


def _each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {shown(twice)} stands twice in an object")
    return value


def has_half_characters(value: object) -> bool:
    """Whether a string in a JSON value holds a lone surrogate, which no file can be written with."""
    left = [value]
    while left:
        one = left.pop()
        if isinstance(one, str):
            if not one.isascii() and _SURROGATE.search(one):
                return True
        elif isinstance(one, dict):
            left += [*one.keys(), *one.values()]
        elif isinstance(one, list):
            left += one
    return False


def shown(value: object) -> str:
    """A value as an error shows it: at most `LONGEST_ECHO` characters, control characters escaped.

    >>> shown("dog"), shown(b"x" * 1_000_000), shown(None)
    ("'dog'", "b'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...", 'null')
    """
    if value is None:
        return "null"
    if isinstance(value, (str, bytes)):
        return cut(repr(value[: LONGEST_ECHO + 1]))
    return cut(_SHORT.repr(value))


def cut(text: str, most: int = LONGEST_ECHO) -> str:
    """The beginning of a text, with dots for what is left out."""
    return text if len(text) <= most else text[: most - 3] + "..."


def one_line(text: str) -> str:
    r"""A text with its control characters and lone surrogates escaped, so that it stays one line on any terminal.

    >>> print(one_line("a\nb\x1b[31m\ud800"))
    a\nb\x1b[31m\ud800
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def reason_of(error: BaseException) -> str:
    """The first line of what an error says, cut short."""
    text = getattr(error, "msg", None) or getattr(error, "strerror", None) or str(error)
    if isinstance(error, RecursionError):
        text = _TOO_DEEP
    return cut(one_line(next(iter(str(text).strip().splitlines()), "") or type(error).__name__), 2 * LONGEST_ECHO)


class _Short(reprlib.Repr):
    def repr_bytes(self, value: bytes, level: int) -> str:
        return repr(value[:LONGEST_ECHO])


_SHORT = _Short()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = LONGEST_ECHO
_SHORT.maxlist = _SHORT.maxtuple = _SHORT.maxdict = 10
_SHORT.maxlevel = 4

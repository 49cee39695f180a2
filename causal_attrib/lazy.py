"""Packages whose names are imported when they are used: torch takes seconds, and who checks a flag needs none."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping


def lazily(package: str, homes: Mapping[str, str]) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """`__getattr__` and `__dir__` of a package.

    Args:
        package: its `__name__`.
        homes: for each name the module in the package that has it.

    >>> of, names = lazily("causal_attrib", {"InputError": "errors"})
    >>> of("InputError").__name__, names()
    ('InputError', ['InputError'])
    """

    def of(name: str) -> object:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(f"{package}.{homes[name]}"), name)
        setattr(sys.modules[package], name, value)
        return value

    # What completion offers: without it, names that are imported late are not seen.
    return of, lambda: sorted(homes)

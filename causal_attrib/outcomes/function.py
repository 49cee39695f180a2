"""An outcome of the user's own: `module:function`."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from causal_attrib.errors import InputError


@dataclass(frozen=True)
class Function:
    """r = function(text, reference), a number in [0, 1]; `reference` is the reference answer or None."""

    name: str
    function: Callable[[str, str | None], float]
    reference: str | None
    needs_text: ClassVar[bool] = True

    @property
    def meaning(self) -> str:
        return (self.function.__doc__ or f"the value of {self.name}").strip().splitlines()[0]

    def __call__(self, text: str) -> float:
        return self.function(text, self.reference)


def import_function(name: str) -> Callable[[str, str | None], float]:
    """The function behind `module:function`; modules of the current folder are found too.

    >>> import_function("math:hypot")(3, 4)
    5.0

    Raises:
        InputError: there is no such module or function.
    """
    module_name, _, function_name = name.partition(":")
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        function = getattr(importlib.import_module(module_name), function_name, None)
    except ImportError as error:
        raise InputError(f"{name} cannot be imported ({error}); check the name before the colon.") from None
    finally:
        sys.path.remove(here)
    if not callable(function):
        raise InputError(
            f"The module {module_name} has no function {function_name!r}; check the name behind the colon."
        )
    return function

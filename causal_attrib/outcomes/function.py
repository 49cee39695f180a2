"""An outcome of the user's own: `module:function`."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

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
        lines = (self.function.__doc__ or "").strip().splitlines()
        return lines[0] if lines else f"the value of {self.name}"

    def __call__(self, text: str) -> float:
        """
        Raises:
            InputError: the function raised an error.
            RuntimeError: it wanted to end the program.
        """
        try:
            return self.function(text, self.reference)
        except InputError:
            raise
        except Exception as error:
            raise InputError(f"The outcome {self.name} failed with {_told(error)}; mend the function.") from error
        except SystemExit as error:
            raise RuntimeError(f"the outcome {self.name} called sys.exit({error.code!r})") from error


def import_outcome(name: str) -> Callable[[str, str | None], float]:
    """The function behind `module:function`, if it can be called with a text and a reference.

    Raises:
        InputError: as `import_function`, or it takes other arguments.
    """
    function = import_function(name)
    try:
        signature = inspect.signature(function)
    except ValueError:  # some that are written in C tell nothing of their arguments
        return function
    try:
        signature.bind("a caption", None)
    except TypeError:
        raise InputError(
            f"The outcome {name} is called with (text, reference) and takes {signature}; give it these two arguments."
        ) from None
    return function


def import_function(name: str) -> Callable[..., Any]:
    """The function behind `module:function`; modules of the current folder are found too.

    >>> import_function("math:hypot")(3, 4)
    5.0

    Raises:
        InputError: there is no such module or function, or the module fails when it is imported.
        RuntimeError: the module wanted to end the program.
    """
    module_name, _, function_name = name.partition(":")
    if not module_name or module_name.startswith(".") or not function_name:
        raise InputError(f"{_one_line(name)!r} names no function of a module; give module:function.")
    path = list(sys.path)
    sys.path.insert(0, str(Path.cwd()))
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise InputError(
            f"{_one_line(name)} cannot be imported ({_one_line(str(error))}); check the name before the colon."
        ) from None
    except Exception as error:
        raise InputError(
            f"{_one_line(name)} cannot be imported, with {_told(error)}; mend the module, or the name before the colon."
        ) from error
    except SystemExit as error:
        raise RuntimeError(f"the module {module_name} called sys.exit({error.code!r}) when imported") from error
    finally:
        sys.path[:] = path
    function = getattr(module, function_name, None)
    if not callable(function):
        raise InputError(
            f"The module {module_name} has no function {function_name!r}; check the name behind the colon."
        )
    return function


def _told(error: Exception) -> str:
    return f"{type(error).__name__} ({_one_line(str(error))})"


def _one_line(text: str) -> str:
    line = " ".join("".join(one if one.isprintable() else " " for one in text).split())
    return line if len(line) <= 200 else f"{line[:200]}..."

"""transformers imported without what a model on one machine never uses, where only the model in the package is needed.

Half of the time that `copo score` takes for the bundled model would go into importing distributed tensors (and sympy
for them), the compiler, scipy and accelerate, of which transformers takes a class or a function each for later. Here
these are stand-ins that import what they stand for when they are first used: nothing is missing, it comes later.
Training, larger models and callers from Python import everything, as ever.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

# With all that is in them.
_LATER = (
    "accelerate",
    "scipy.optimize",
    "torch._dynamo",
    "torch.distributed._composable",
    "torch.distributed.checkpoint",
    "torch.distributed.fsdp",
    "torch.distributed.tensor",
)


def import_models() -> None:
    """Import what a model of the package needs. With a transformers that wants more at once, all is imported."""
    if "transformers.modeling_utils" in sys.modules:
        return
    # transformers' own switch. That image tokens and features are as many, torch would look up with sympy.
    os.environ.setdefault("TRANSFORMERS_DISABLE_TORCH_CHECK", "1")
    before = set(sys.modules)
    try:
        with _held_back():
            importlib.import_module("transformers.modeling_utils")
            importlib.import_module("transformers.models.llava.modeling_llava")
            importlib.import_module("causal_attrib.vlm.loading")
    except Exception:  # whatever it is, the ordinary import is the answer
        for name in set(sys.modules) - before:
            if name.startswith(("transformers", "causal_attrib.vlm")):
                del sys.modules[name]


@contextmanager
def _held_back() -> Iterator[None]:
    """While it lasts, the modules of `_LATER` are imported as stand-ins; afterwards they can be imported as ever."""
    import torch

    disable, finder = torch.compiler.disable, _Finder()
    sys.meta_path.insert(0, finder)
    # As a decorator it imports the compiler to say what not to compile.
    torch.compiler.disable = _as_it_is
    try:
        yield
    finally:
        torch.compiler.disable = disable
        sys.meta_path.remove(finder)
        for name in [name for name, module in sys.modules.items() if isinstance(module, _Module)]:
            del sys.modules[name]
            # Importing a module makes it an attribute of its package.
            package, _, last = name.rpartition(".")
            if last in vars(sys.modules.get(package, _Module)):
                delattr(sys.modules[package], last)


class _Finder(MetaPathFinder, Loader):
    """Finds stand-ins for the modules of `_LATER`, where the package is there at all."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if not any(name == later or name.startswith(f"{later}.") for later in _LATER):
            return None
        if "." not in name and PathFinder.find_spec(name) is None:
            return None
        return ModuleSpec(name, self, is_package=True)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Module(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        pass


def _as_it_is(function: Any = None, recursive: bool = True, *, reason: str | None = None) -> Any:
    return (lambda inner: inner) if function is None else function


class _Module(ModuleType):
    """Gives a stand-in for each name that is asked for."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _StandIn(lambda: getattr(_imported(self.__name__), name))


class _StandIn:
    """A function or a class of a module that has not been imported yet, or what a call of it will give."""

    def __init__(self, find: Callable[[], Any]):
        self._find = find

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with contextlib.suppress(_NotYetError):
            return self._find()(*args, **kwargs)
        return _StandIn(lambda: self._find()(*args, **kwargs))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._find(), name)

    def __instancecheck__(self, instance: object) -> bool:
        # Nothing can be of a class that was never imported.
        try:
            return isinstance(instance, self._find())
        except _NotYetError:
            return False

    def __or__(self, other: object) -> Any:
        return Any

    __ror__ = __or__


class _NotYetError(Exception):
    """The stand-ins are still given out, so that what they stand for cannot be imported."""


def _imported(name: str) -> ModuleType:
    if isinstance(sys.modules.get(name), _Module):
        raise _NotYetError
    return importlib.import_module(name)

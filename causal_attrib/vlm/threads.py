"""How many threads a model is worth: a small one gains nothing from them, and on a busy machine they make it many times
slower, each waiting for the others after every small product."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, cast

import torch
from transformers import PreTrainedModel

# Parameters, from which on the products of a forward are large enough to share out.
SMALL = 50_000_000

Function = TypeVar("Function", bound=Callable[..., Any])


@contextmanager
def suited_threads(model: PreTrainedModel) -> Iterator[None]:
    """One thread for a small model on a CPU while the context lasts; then as many as the caller had set."""
    before = torch.get_num_threads()
    if before == 1 or model.device.type != "cpu" or model.num_parameters() >= SMALL:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def on_suited_threads(function: Function) -> Function:
    """The same for a function whose first argument is a `VLM`, or has one as its `vlm`."""

    @functools.wraps(function)
    def limited(first: Any, *args: Any, **kwargs: Any) -> Any:
        with suited_threads(getattr(first, "vlm", first).model):
            return function(first, *args, **kwargs)

    return cast(Function, limited)

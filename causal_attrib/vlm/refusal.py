"""What goes wrong while a model is loaded, in one sentence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from causal_attrib.errors import InputError
from causal_attrib.io.hub import Home

# Characters of a library's own words that are told.
_DETAIL = 300


def too_large(name: str) -> InputError:
    return InputError(
        f"There is too little memory for {name}; choose a smaller model, or try --dtype bfloat16, --load-in-4bit or "
        f"--device-map auto."
    )


@contextmanager
def explained(name: str, home: Home, attn_implementation: str | None = None) -> Iterator[None]:
    """A step of loading; what goes wrong is the user's to mend and is said in one sentence.

    transformers reads what is in a folder with few checks of its own, so a damaged one can raise nearly anything.
    """
    try:
        yield
    except InputError:
        raise
    except (MemoryError, torch.OutOfMemoryError) as error:
        raise too_large(name) from error
    except Exception as error:
        detail = detail_of(error)
        if attn_implementation is not None and "attention" in str(error).lower():
            raise InputError(
                f"{name} cannot be run with --attn-implementation {attn_implementation} here ({detail}); choose "
                f"another, or leave it out."
            ) from error
        where = f"The folder {name}" if home.commit is None else f"{name} on the hub"
        raise InputError(f"{where} holds no model that can be loaded ({detail}).") from error


def detail_of(error: Exception) -> str:
    """A library's own words, in one line: the first may only announce what the others say."""
    words = " ".join(str(error).split()) or type(error).__name__
    return (words if len(words) <= _DETAIL else words[:_DETAIL] + "…").rstrip(".")

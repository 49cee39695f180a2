"""Result files, put in place in one step: a reader sees the old file or the whole new one."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from causal_attrib.errors import InputError


def check_not_input(output: str | os.PathLike, inputs: Iterable[str | os.PathLike]) -> None:
    """Raises InputError if the output would be written over an input."""
    for one in inputs:
        # A file that is not there is none that could be lost.
        if os.path.isfile(output) and os.path.isfile(one) and os.path.samefile(output, one):
            raise InputError(f"{output} is read and would be written over; choose another place for the output.")


def replace_file(path: str | os.PathLike, data: bytes) -> None:
    """Put `data` at `path`.

    Raises:
        InputError: the path cannot be written; what was there is still there.
    """
    with replacing(path, f"{os.getpid()}.part") as file:
        file.write(data)


@contextmanager
def replacing(path: str | os.PathLike, suffix: str = "part") -> Iterator[BinaryIO]:
    """An open file that is put at `path` when all has been written to it; what goes wrong leaves the old file there.

    `suffix` names what is written meanwhile, beside `path`. One that is always the same is written over by the run
    that follows one that was killed.

    Raises:
        InputError: the path cannot be written.
    """
    path = Path(path)
    beside = path.with_name(f".{path.name}.{suffix}")
    try:
        with beside.open("wb") as file:
            yield file
        os.replace(beside, path)
    except BaseException as error:
        with suppress(OSError):
            beside.unlink()
        if isinstance(error, OSError):
            raise InputError(
                f"{path} cannot be written ({error.strerror}); choose another place for the output."
            ) from None
        raise

"""Result files, put in place in one step: a reader sees the old file or the whole new one."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from causal_attrib.errors import InputError


def replace_file(path: str | os.PathLike, data: bytes) -> None:
    """Put `data` at `path`.

    Raises:
        InputError: the path cannot be written; what was there is still there.
    """
    path = Path(path)
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        beside.write_bytes(data)
        os.replace(beside, path)
    except OSError as error:
        with suppress(OSError):
            beside.unlink()
        raise InputError(f"{path} cannot be written ({error.strerror}); choose another place for the output.") from None

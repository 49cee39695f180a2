"""Result files, put in place in one step: a reader sees the old file or the whole new one.

What is no regular file (a device, a pipe, a terminal) cannot be replaced and is written to as it is. A link stays one:
what it points to is replaced. A file keeps its mode.
"""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from causal_attrib.errors import InputError

_NO_ROOM = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)


def check_not_input(output: str | os.PathLike, inputs: Iterable[str | os.PathLike]) -> None:
    """Raises InputError if the output would be written over an input."""
    for one in inputs:
        # A file that is not there is none that could be lost.
        if os.path.isfile(output) and os.path.isfile(one) and os.path.samefile(output, one):
            raise InputError(f"{output} is read and would be written over; choose another place for the output.")


def check_writable(path: str | os.PathLike) -> None:
    """Raise an `InputError` unless a file can be written at `path`: call it before the work, not after.

    A probe file is made and removed beside it, since permission bits do not tell of read-only file systems.
    """
    path = Path(path)
    if os.path.isdir(path):
        raise InputError(f"{path} is a folder; give the path of a file to write.")
    try:
        with suppress(FileNotFoundError):
            os.stat(path)  # a name that no file can have
            if not os.access(path, os.W_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        if not is_stream(path):
            with tempfile.TemporaryFile(dir=_target(path).parent):
                pass
    except (OSError, ValueError) as error:
        raise cannot_be_written(path, error) from None


def is_stream(path: str | os.PathLike) -> bool:
    """Whether there is something at `path` that is written to as it is: a device, a pipe, or standard output."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return False
    # Standard output may be a file, which the shell holds open and goes on writing to.
    return not stat.S_ISREG(found.st_mode) or os.fspath(path).startswith(("/dev/", "/proc/"))


def cannot_be_written(path: str | os.PathLike, error: Exception, kept: str = "") -> InputError:
    """What to say of a path that cannot be written; `kept` says what there is of the work, and how to go on."""
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    if getattr(error, "errno", None) in _NO_ROOM:
        remedy = f"{kept or 'make room'} and run the same command again"
        return InputError(f"{path} cannot be written ({reason}); {remedy}.")
    return InputError(f"{path} cannot be written ({reason}); choose another place for the output.")


def replace_file(path: str | os.PathLike, data: bytes) -> None:
    """Put `data` at `path`.

    Raises:
        InputError: the path cannot be written; what was there is still there.
    """
    with replacing(path, f"{os.getpid()}.part") as file:
        file.write(data)


@contextmanager
def replacing(path: str | os.PathLike, suffix: str = "part", *, kept: str = "") -> Iterator[BinaryIO]:
    """An open file that is put at `path` when all has been written to it; what goes wrong leaves the old file there.

    `suffix` names what is written meanwhile, beside `path`. One that is always the same is written over by the run
    that follows one that was killed. `kept` is for `cannot_be_written`.

    Raises:
        InputError: the path cannot be written.
    """
    if is_stream(path):
        try:
            with open(path, "wb", buffering=0) as stream:
                yield stream
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise  # its reader has gone
            raise cannot_be_written(path, error, kept) from None
        return
    beside = None
    try:
        target = _target(Path(path))
        beside = target.with_name(f".{target.name}.{suffix}")
        beside.unlink(missing_ok=True)  # what a killed run left, or a link that somebody laid
        with beside.open("xb") as file:
            with suppress(FileNotFoundError):
                os.chmod(beside, stat.S_IMODE(target.stat().st_mode))
            yield file
        os.replace(beside, target)
    except BaseException as error:
        with suppress(OSError, ValueError):
            if beside is not None:
                beside.unlink()
        if isinstance(error, OSError) or (isinstance(error, ValueError) and "null byte" in str(error)):
            raise cannot_be_written(path, error, kept) from None
        raise


def _target(path: Path) -> Path:
    """The file that is replaced: `path`, or what it points to as a link."""
    return Path(os.path.realpath(path)) if path.is_symlink() else path

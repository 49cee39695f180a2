"""What long work has finished so far, on disk: a run that was killed is taken up again where it ended.

A journal is a file of lines. The first tells what the work is, and no other work may go on with it. Each further line
is a finished piece with the sum of its bytes, and reaches the disk before the next begins. A last line that was cut
short is forgotten; any other line that is not as it was written is an error.
"""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from causal_attrib.errors import InputError
from causal_attrib.io.atomic import cannot_be_written
from causal_attrib.io.json_files import json_line
from causal_attrib.io.parsing import PARSER_ERRORS

_SUFFIX = ".partial.jsonl"
# What some network file systems say that have no locks.
_NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)


class Journal:
    """The journal of the work that makes `output`; a file beside it, which is there while the work is not done.

    Args:
        settings: what the work is: everything that its result depends on, as JSON holds it.
        fresh: forget what an earlier run finished.

    Raises:
        InputError: an earlier run had other settings, another run is at work on it, the file cannot be written, or it
            is not what was written there.
    """

    def __init__(self, output: str | os.PathLike, settings: Mapping[str, Any], *, fresh: bool = False):
        self.path = journal_path(output)
        self.done: set[str] = set()
        self._places: dict[str, tuple[int, int]] = {}
        known = json.loads(json.dumps(settings))
        self._lock = _Lock(output)
        try:
            self._file = _opened(self.path)
            try:
                end = 0 if fresh else self._read(known)
                self._file.truncate(end)
                if not end:
                    self._append({"settings": known})
            except BaseException:
                self._file.close()
                raise
        except BaseException:
            self._lock.release()
            raise

    def __contains__(self, key: str) -> bool:
        return key in self._places

    def __getitem__(self, key: str) -> Any:
        """What was added under `key` last."""
        start, length = self._places[key]
        self._file.seek(start)
        line = b""
        while len(line) < length and (more := self._file.read(length - len(line))):
            line += more
        return json.loads(line)["value"]

    @property
    def kept(self) -> str:
        """What to say of the work so far where there is no room for more."""
        return f"what is finished is kept in {self.path}: make room"

    def add(self, key: str, value: object, *, done: bool = True) -> None:
        """Put a finished piece on disk. One that is not `done` is kept, and made anew by the next run.

        Raises:
            InputError: it cannot be written; what was added before is kept.
        """
        piece = {"key": key, "done": done, "value": value}
        self._places[key] = self._append({**piece, "sum": digest(piece)})
        self._note(key, done)

    def agree(self, what: str, value: dict) -> None:
        """Add settings that are known only later, or hold them against those of the earlier run."""
        if what not in self:
            self.add(what, value)
        self._compare(self[what], json.loads(json.dumps(value)))

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close(remove=False)

    def close(self, *, remove: bool) -> None:
        """Let other runs go on with it, or with `remove` take it away, as all is done. A second call does nothing."""
        if self._file.closed:
            return
        self._file.close()
        if remove:
            self.path.unlink(missing_ok=True)
        self._lock.release()

    def _append(self, entry: dict) -> tuple[int, int]:
        """Where the line begins, and its length."""
        end, line = self._file.seek(0, os.SEEK_END), json_line(entry)
        left = memoryview(line)
        try:
            while left:
                left = left[self._file.write(left) :]
            os.fsync(self._file.fileno())
        except OSError as error:
            with suppress(OSError):
                self._file.truncate(end)
            raise cannot_be_written(self.path, error, self.kept) from None
        return end, len(line)

    def _note(self, key: str, done: bool) -> None:
        (self.done.add if done else self.done.discard)(key)

    def _read(self, settings: dict) -> int:
        """Note what is finished; where the whole lines end."""
        end, number, broken = 0, 0, None
        lines = io.BufferedReader(self._file)
        for number, line in enumerate(lines, start=1):
            if broken is not None:
                break
            entry = _whole(line)
            if entry is None:
                broken = number
                continue
            if number == 1:
                if not isinstance(entry.get("settings"), dict):
                    raise self._odd(number)
                self._compare(entry["settings"], settings)
            else:
                if entry.pop("sum", None) != digest(entry) or not isinstance(entry.get("key"), str):
                    raise self._odd(number)
                self._places[entry["key"]] = end, len(line)
                self._note(entry["key"], bool(entry["done"]))
            end += len(line)
        lines.detach()
        if broken is not None and number > broken:
            raise self._odd(broken)
        return end

    def _odd(self, number: int) -> InputError:
        return InputError(f"{self.path} line {number} is not as copo wrote it; begin anew with --fresh.")

    def _compare(self, before: dict, now: dict) -> None:
        differing = [name for name in before | now if before.get(name) != now.get(name)]
        if differing:
            name = differing[0]
            values = [json.dumps(settings.get(name), ensure_ascii=False) for settings in (before, now)]
            brief = max(map(len, values)) <= 40
            was = f"{name} {values[0]} and now it is {values[1]}" if brief else f"another {name}"
            raise InputError(f"{self.path} was begun with {was}; go on with the same, or begin anew with --fresh.")


class _Lock:
    """Keeps other runs off an output; the system lets go of it when the process ends, however it ends.

    The lock is a file of its own, since on Windows a locked file cannot be read.
    """

    def __init__(self, output: str | os.PathLike):
        output = Path(output)
        self._path = output.with_name(f".{output.name}.lock")
        self._lock = FileLock(self._path)
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise InputError(f"Another run is writing {output}; wait for it, or name another output.") from None
        except NotImplementedError:
            pass  # what filelock says of such file systems
        except (OSError, ValueError) as error:
            if getattr(error, "errno", None) not in _NO_LOCKS:
                raise cannot_be_written(self._path, error) from None

    def release(self) -> None:
        # Taken away while it is held, so that a run that begins now does not lock a file that is about to go.
        with suppress(OSError):
            self._path.unlink(missing_ok=True)
        self._lock.release()
        if os.name == "nt":  # which removes no file that is open, in this run or another
            with suppress(OSError):
                self._path.unlink(missing_ok=True)


def forget(output: str | os.PathLike) -> None:
    """Take away the journal of work that is done."""
    journal_path(output).unlink(missing_ok=True)


def journal_path(output: str | os.PathLike) -> Path:
    output = Path(output)
    return output.with_name(output.name + _SUFFIX)


def _opened(path: Path) -> io.FileIO:
    """The journal, open for reading and adding. A link or a device is refused: somebody laid it there."""
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND
    flags |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    strange = InputError(f"{path} is no file of copo's but a link or a device; take it away, or name another output.")
    if path.is_symlink():
        raise strange
    try:
        descriptor = os.open(path, flags, 0o666)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):
            raise strange from None
        raise cannot_be_written(path, error) from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise strange
    # Without a buffer, in which a line that found no room would wait to be written after all.
    return io.FileIO(descriptor, "r+b")


def digest(value: object) -> str:
    """What tells one JSON value from another."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _whole(line: bytes) -> dict | None:
    """What a line says, or None if it was cut short."""
    try:
        entry = json.loads(line) if line.endswith(b"\n") else None
    except PARSER_ERRORS:
        return None
    return entry if isinstance(entry, dict) else None

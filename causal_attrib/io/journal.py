"""What long work has finished so far, on disk: a run that was killed is taken up again where it ended.

A journal is a file of lines. The first tells what the work is, and no other work may go on with it. Each further line
is a finished piece, and reaches the disk before the next begins. A last line that was cut short is forgotten.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
from pathlib import Path
from typing import BinaryIO

from causal_attrib.errors import InputError

try:
    import fcntl
except ImportError:  # Windows has none
    fcntl = None

_SUFFIX = ".partial.jsonl"


class Journal:
    """The journal of the work that makes `output`; a file beside it, which is there while the work is not done.

    Args:
        settings: what the work is: everything that its result depends on, as JSON holds it.
        fresh: forget what an earlier run finished.

    Raises:
        InputError: an earlier run had other settings, another run is at work on it, or the file cannot be written.
    """

    def __init__(self, output: str | os.PathLike, settings: dict, *, fresh: bool = False):
        self.path = _path_of(output)
        self.done: set[str] = set()
        self._places: dict[str, int] = {}
        settings = json.loads(json.dumps(settings))
        try:
            self._file = self.path.open("a+b")
        except OSError as error:
            raise InputError(
                f"{self.path} cannot be written ({error.strerror}); choose another place for the output."
            ) from None
        try:
            _lock(self._file, output)
            end = 0 if fresh else self._read(settings)
        except InputError:
            self._file.close()
            raise
        self._file.truncate(end)
        if not end:
            self._append({"settings": settings})

    def __contains__(self, key: str) -> bool:
        return key in self._places

    def __getitem__(self, key: str) -> object:
        """What was added under `key` last."""
        with self.path.open("rb") as lines:
            lines.seek(self._places[key])
            return json.loads(lines.readline())["value"]

    def add(self, key: str, value: object, *, done: bool = True) -> None:
        """Put a finished piece on disk. One that is not `done` is kept, and made anew by the next run."""
        self._places[key] = self._file.seek(0, os.SEEK_END)
        self._append({"key": key, "done": done, "value": value})
        self._note(key, done)

    def agree(self, what: str, value: dict) -> None:
        """Add settings that are known only later, or hold them against those of the earlier run."""
        if what not in self:
            self.add(what, value)
        self._compare(self[what], json.loads(json.dumps(value)))

    def close(self, *, remove: bool) -> None:
        self._file.close()
        if remove:
            self.path.unlink(missing_ok=True)

    def _append(self, entry: dict) -> None:
        self._file.write(json.dumps(entry, ensure_ascii=False, allow_nan=False).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def _note(self, key: str, done: bool) -> None:
        (self.done.add if done else self.done.discard)(key)

    def _read(self, settings: dict) -> int:
        """Note what is finished; where the whole lines end."""
        end = 0
        with self.path.open("rb") as lines:
            for line in lines:
                entry = _whole(line)
                if entry is None:
                    break
                if end == 0:
                    self._compare(entry.get("settings", {}), settings)
                else:
                    self._places[entry["key"]] = end
                    self._note(entry["key"], entry["done"])
                end += len(line)
        return end

    def _compare(self, before: dict, now: dict) -> None:
        differing = [name for name in before | now if before.get(name) != now.get(name)]
        if differing:
            name = differing[0]
            values = [json.dumps(settings.get(name), ensure_ascii=False) for settings in (before, now)]
            brief = max(map(len, values)) <= 40
            was = f"{name} {values[0]} and now it is {values[1]}" if brief else f"another {name}"
            raise InputError(f"{self.path} was begun with {was}; go on with the same, or begin anew with --fresh.")


def forget(output: str | os.PathLike) -> None:
    """Take away the journal of work that is done."""
    _path_of(output).unlink(missing_ok=True)


def _lock(file: BinaryIO, output: str | os.PathLike) -> None:
    """Keep other runs off a file while it is open; the system lets go of it when the process ends, however it ends."""
    if fcntl is None:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise InputError(f"Another run is writing {output}; wait for it, or name another output.") from None
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS):
            raise  # some network file systems have no locks


def _path_of(output: str | os.PathLike) -> Path:
    output = Path(output)
    return output.with_name(output.name + _SUFFIX)


def digest(value: object) -> str:
    """What tells one JSON value from another."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _whole(line: bytes) -> dict | None:
    """What a line says, or None if it was cut short."""
    try:
        return json.loads(line) if line.endswith(b"\n") else None
    except ValueError:
        return None

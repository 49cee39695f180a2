"""What a run has done so far, in a file for the textfile collector of Prometheus' node exporter."""

from __future__ import annotations

import time
from contextlib import suppress

# Seconds between two states of the file, at least.
_EVERY = 5.0
_HELP = {
    "captions": "Captions that the run is to score.",
    "captions_done": "Captions that are done, those of earlier runs and those that failed among them.",
    "captions_failed": "Captions that failed in this run.",
    "captions_per_second": "Captions a second since the first group of this run.",
    "seconds": "Seconds since the run began.",
    "finished": "1 when the result is written.",
}


class Metrics:
    """A file that is replaced while a run goes on; None keeps nothing."""

    def __init__(self, path: str | None, output: str):
        self._path, self._began, self._told = path, time.monotonic(), 0.0
        self._first: tuple[float, int] | None = None
        self._state = dict.fromkeys(_HELP, 0.0)
        self._label = output.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")

    def note(self, done: int, total: int) -> None:
        now = time.monotonic()
        self._first = self._first or (now, done)
        seconds, since = now - self._first[0], done - self._first[1]
        self._state |= {"captions": total, "captions_done": done}
        self._state["captions_per_second"] = since / seconds if seconds else 0.0
        if now - self._told >= _EVERY:
            self._told = now
            self._write()

    def fail(self) -> None:
        self._state["captions_failed"] += 1

    def finish(self) -> None:
        self._state["finished"] = 1
        self._write()

    def _write(self) -> None:
        if self._path is None:
            return
        from causal_attrib.errors import InputError
        from causal_attrib.io.atomic import replace_file

        self._state["seconds"] = time.monotonic() - self._began
        text = ""
        for name, value in self._state.items():
            text += f"# HELP copo_{name} {_HELP[name]}\n# TYPE copo_{name} gauge\n"
            text += f'copo_{name}{{output="{self._label}"}} {value}\n'
        with suppress(InputError):  # what is watched does not end because the watching does
            replace_file(self._path, text.encode())


def check_metrics(path: str | None, input: str | None) -> None:
    """Raises InputError if there can be no such file, or the collector would not read it."""
    from causal_attrib.errors import InputError
    from causal_attrib.io.atomic import check_not_input, check_writable

    if path is not None:
        if not path.endswith(".prom"):
            raise InputError(f"The metrics {path} would not be collected; end the name in .prom.")
        check_writable(path)
        check_not_input(path, [] if input is None else [input])

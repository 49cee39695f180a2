"""What a training run has written into its folder, to be drawn: its log, completions it sampled, and its recipe."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from causal_attrib.errors import InputError
from causal_attrib.io.parsing import PARSER_ERRORS, parse_json

STATE, SAMPLES, RECIPE = "trainer_state.json", "completions.jsonl", "recipe.yaml"
_CHECKPOINT = re.compile(r"checkpoint-(\d+)")


@dataclass(frozen=True)
class TrainingRun:
    """One run.

    entries: lines of the log, each with its `step`
    samples: completions, each with step, prompt, reference, reward, advantage, tokens, added
    recipe:  keys and values
    """

    name: str
    entries: list[dict[str, Any]]
    samples: list[dict[str, Any]] = field(default_factory=list)
    recipe: dict[str, Any] = field(default_factory=dict)

    def series(self, key: str) -> tuple[list[float], list[float]]:
        """Steps and values of one key of the log."""
        points = [
            (float(entry["step"]), float(entry[key]))
            for entry in self.entries
            if _is_number(entry.get(key)) and _is_number(entry.get("step"))
        ]
        return [step for step, _ in points], [value for _, value in points]


def is_run(path: str | os.PathLike) -> bool:
    """Whether a folder holds a training log, of a run that has ended or of one that still goes on."""
    folder = Path(path)
    return folder.is_dir() and bool(_states(folder))


def read_run(path: str | os.PathLike) -> TrainingRun:
    """The run in a folder, as far as it is.

    Raises:
        InputError: there is none, or its files cannot be read.
    """
    folder = Path(path)
    states = _states(folder)
    if not states:
        raise InputError(
            f"{folder} holds neither scored captions nor a training log ({STATE}); give a file of copo score --input, "
            "or the output folder of copo train."
        )
    entries = max((_entries(state) for state in states), key=lambda lines: _last_step(lines))
    return TrainingRun(folder.resolve().name, entries, read_samples(folder / SAMPLES), _recipe(folder / RECIPE))


def read_samples(path: Path) -> list[dict[str, Any]]:
    """The sampled completions in a file; none where it is not there.

    Of a step that a resumed run went over again, those of the last time.
    """
    if not path.is_file():
        return []
    kept: list[dict[str, Any]] = []
    try:
        for line in path.read_text("utf-8").splitlines():
            sample = parse_json(line)
            while kept and kept[-1]["step"] > sample["step"]:
                kept.pop()
            if not isinstance(sample["tokens"], list) or not _is_number(sample["reward"]):
                raise ValueError("a completion without tokens or reward")
            kept.append(sample)
    except PARSER_ERRORS:
        raise InputError(
            f"{path} line {len(kept) + 1} is no sampled completion; remove the line, or the file."
        ) from None
    return kept


def _states(folder: Path) -> list[Path]:
    """The run's own state, and that of its last checkpoint."""
    checkpoints = sorted(
        (int(found[1]), path / STATE)
        for path in folder.glob("checkpoint-*")
        if (found := _CHECKPOINT.fullmatch(path.name)) and (path / STATE).is_file()
    )
    return [path for path in (folder / STATE,) if path.is_file()] + [path for _, path in checkpoints[-1:]]


def _entries(path: Path) -> list[dict[str, Any]]:
    try:
        # As transformers writes it, NaN and all.
        entries = json.loads(path.read_text("utf-8"))["log_history"]
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise ValueError("no lines of a log")
    except PARSER_ERRORS:
        raise InputError(f"{path} cannot be read as the log of a training run; give the folder of another.") from None
    return entries


def _last_step(entries: list[dict[str, Any]]) -> float:
    return max((float(entry["step"]) for entry in entries if _is_number(entry.get("step"))), default=0.0)


def _recipe(path: Path) -> dict[str, Any]:
    """The keys of a recipe as text, without a YAML reader, which is part of the extra for training."""
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return {}
    pairs = (line.partition(": ") for line in lines if line and line[0] not in "# -" and ": " in line)
    return {key: value for key, _, value in pairs}


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)

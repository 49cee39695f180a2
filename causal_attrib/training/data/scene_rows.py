"""Rows of a folder that `copo scenes` wrote."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from causal_attrib.errors import InputError
from causal_attrib.training.data.rows import read_rows


def scene_rows(folder: Path, kind: str) -> Iterator[tuple[str, dict]]:
    """What `copo scenes` wrote, as rows: its questions, to be thought about first; or its captions, true and false.

    The contrast to a scene is the one whose caption has most words in common with its own, as SymMPO (arXiv 2506.11712)
    takes the picture most like it.
    """
    file = folder / ("questions.jsonl" if kind == "answers" else "captions.jsonl")
    if not file.is_file():
        raise InputError(f"{folder} is no folder written by copo scenes (it has no {file.name}); give a file of rows.")
    rows = list(read_rows(file))
    if kind == "answers":
        # Scenes import torch, which what is wrong with other data need not wait for.
        from causal_attrib.scenes.language import THINK_SUFFIX

        for where, row in rows:
            yield where, {"image": row["image"], "prompt": row["text"] + THINK_SUFFIX, "answer": row["label"]}
        return
    for where, row in rows:
        wanted = {"image": row["image"], "caption": row["caption"], "false_caption": row["false_caption"]}
        if kind == "contrasts":
            others = [other for _, other in rows if other["caption"] != row["caption"]]
            if not others:
                raise InputError(f"{file} has one caption only, which nothing can be held against; write more scenes.")
            words = set(row["caption"].split())
            other = max(others, key=lambda other: _overlap(words, set(other["caption"].split())))
            wanted |= {"image_contrast": other["image"], "chosen_contrast": other["caption"]}
        yield where, wanted


def _overlap(first: set[str], second: set[str]) -> float:
    return len(first & second) / len(first | second)

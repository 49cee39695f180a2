"""Rows of a folder that `copo scenes` wrote."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from causal_attrib.errors import InputError
from causal_attrib.io.rows import CAPTIONS, QUESTIONS, Row, read_rows


def scene_rows(folder: Path, kind: str) -> Iterator[Row]:
    """What `copo scenes` wrote, as rows: its questions, to be thought about first; or its captions, true and false.

    The contrast to a scene is the one whose caption has most words in common with its own, as SymMPO (arXiv 2506.11712)
    takes the picture most like it.
    """
    file = folder / (QUESTIONS if kind == "answers" else CAPTIONS)
    rows = read_rows(file)
    needed = ("image", "text", "label") if kind == "answers" else ("image", "caption", "false_caption")
    if kind == "answers":
        # Scenes import torch, which what is wrong with other data need not wait for.
        from causal_attrib.scenes.language import THINK_SUFFIX
    told = [{key: row.text(row.need((key,))) for key in needed} for row in rows]
    for row, one in zip(rows, told, strict=True):
        if kind == "answers":
            wanted = {"image": one["image"], "prompt": one["text"] + THINK_SUFFIX, "answer": one["label"]}
        else:
            wanted = dict(one)
        if kind == "contrasts":
            others = [other for other in told if other["caption"] != one["caption"]]
            if not others:
                raise InputError(f"{file} has one caption only, which nothing can be held against; write more scenes.")
            words = set(one["caption"].split())
            other = max(others, key=lambda other: _overlap(words, set(other["caption"].split())))
            wanted |= {"image_contrast": other["image"], "chosen_contrast": other["caption"]}
        yield replace(row, value=wanted)


def _overlap(first: set[str], second: set[str]) -> float:
    return len(first & second) / len(first | second)

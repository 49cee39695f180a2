"""One row for each caption: what it says, what the outcome was, and what the verdict on it is."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterable
from pathlib import Path

from causal_attrib.errors import InputError
from causal_attrib.io.atomic import check_writable, replace_file
from causal_attrib.results.formats import escaped_cell

SUFFIXES = (".jsonl", ".csv")


def summary(record: dict) -> dict:
    """The row of a caption, from its object of schema version 1 (`Attribution.to_dict`).

    caption_id:     what it is called, in a file of many
    image, caption, generated
    outcome, value: the outcome's name, and its value for the whole caption
    p_false:        probability that at least one claim is false; with claims, against and words_against (each with
                    word, char_start, char_end, p_false) and calibrated only where verdicts were asked for
    """
    outcome, verdict = record.get("outcome") or {}, record.get("verdict")
    row = {"caption_id": record["caption_id"]} if "caption_id" in record else {}
    row |= {
        "image": (record.get("image") or {}).get("path"),
        "caption": record["caption"],
        "generated": record.get("generated", False),
        "outcome": outcome.get("name"),
        "value": outcome.get("value"),
    }
    if verdict is not None:
        names = ("p_false", "claims", "against", "words_against", "calibrated")
        row |= {name: verdict[name] for name in names if name in verdict}
    return row


def check_summary(path: str | os.PathLike[str]) -> None:
    """Raises InputError if summaries cannot be written there."""
    if Path(path).suffix.lower() not in SUFFIXES:
        raise InputError(f"The summary {path} is of no known format; end it in {' or '.join(SUFFIXES)}.")
    check_writable(path)


def write_summaries(path: str | os.PathLike[str], records: Iterable[dict]) -> None:
    """A row for each record; in a CSV, lists are JSON in their cell."""
    rows = [summary(record) for record in records]
    if Path(path).suffix.lower() == ".jsonl":
        text = "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows)
    else:
        sink = io.StringIO(newline="")
        writer = csv.DictWriter(sink, list(dict.fromkeys(name for row in rows for name in row)), lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)
        text = sink.getvalue()
    replace_file(path, text.encode())


def _cell(value: object) -> object:
    if isinstance(value, str):
        return escaped_cell(value)
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list) else value

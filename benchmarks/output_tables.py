"""What the end of a run costs: writing, merging and reading synthetic captions, without a model.

    python benchmarks/output_tables.py [--captions 20000] [--tokens 60]

prints CPU seconds, the largest memory, and both per 200,000 captions.
"""

from __future__ import annotations

import argparse
import itertools
import json
import resource
import tempfile
import time
from pathlib import Path

import numpy as np

from causal_attrib.batch.merge import merge
from causal_attrib.io.journal import Journal
from causal_attrib.results import caption_files
from causal_attrib.results.caption_tables import blocks_of, packed_tokens
from causal_attrib.results.tokens import FIELDS

WORDS = "a dog and a red frisbee on the grass at noon beside two people who look at it".split()


def record(number: int, tokens: int, rows: int, draw: np.random.Generator) -> dict:
    """An object as `copo score --verdict --input` makes it."""
    texts = [
        word if place == 0 else f" {word}"
        for place, word in enumerate(itertools.islice(itertools.cycle(WORDS), tokens))
    ]
    ends = list(itertools.accumulate(map(len, texts)))
    columns = {name: draw.normal(size=tokens).tolist() for name in FIELDS}
    columns |= {"index": list(range(tokens)), "word": list(range(tokens)), "id": list(range(tokens)), "text": texts}
    columns |= {"char_start": [0, *ends[:-1]], "char_end": ends, "verdict": ["grounded"] * tokens}
    columns |= {"sufficiency_se": [None] * tokens, "p_false": draw.uniform(size=tokens).tolist()}
    return {
        "caption_id": str(number + 1),
        "batch": {"row": number, "rows": rows, "input": "a" * 64, "flags": "b" * 64},
        "schema": 1,
        "image": {
            "path": f"images/{number // 8:06d}.jpg",
            "sha256": f"{number // 8:064x}",
            "width": 640,
            "height": 480,
        },
        "prompt": "Describe this image.",
        "question": None,
        "answer": None,
        "caption": "".join(texts),
        "generated": False,
        "model": {"id": "m", "revision": None, "dtype": "float32", "device": "cpu", "attn": "sdpa"},
        "outcome": {
            "name": "grounding",
            "meaning": "how much the image adds",
            "value": float(draw.uniform()),
            "scale": tokens,
        },
        "settings": {"against": "colour", "mask": "zero", "samples": 0, "seed": 0, "level": "token"},
        "cost": {"forwards": 9, "positions": 999, "captions": 8},
        "tool": {"name": "copo", "version": "0"},
        "verdict": {
            "p_false": float(draw.uniform()),
            "claims": 20,
            "against": 1,
            "words_against": [{"word": "noon", "char_start": 40, "char_end": 44, "p_false": 0.9}],
            "calibrated": True,
            "note": "calibrated",
        },
        "tokens": packed_tokens(
            [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)], FIELDS
        ),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--captions", type=int, default=20_000)
    parser.add_argument("--tokens", type=int, default=60)
    parser.add_argument("--formats", default="parquet,jsonl,csv,folder")
    arguments = parser.parse_args()
    count, draw = arguments.captions, np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        journals = [Journal(folder / "whole", {}), Journal(folder / "first", {}), Journal(folder / "second", {})]
        begun = time.process_time()
        for group in range(0, count, 8):
            some = [record(n, arguments.tokens, count, draw) for n in range(group, min(group + 8, count))]
            for journal in (journals[0], journals[1 + group // 8 % 2]):
                journal.add(str(group), some)
        print(
            f"{count} captions of {arguments.tokens} tokens; journals {time.process_time() - begun:.1f} s, not counted"
        )

        def timed(what: str, work) -> None:  # noqa: ANN001
            begun = time.process_time()
            work()
            seconds = time.process_time() - begun
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            print(f"{what:22} {seconds:7.2f} s   {seconds / count * 200_000:7.1f} s per 200,000   peak {peak:5.0f} MB")

        def out_of(journal: Journal):  # noqa: ANN202
            keys = sorted((key for key in journal.done if key.isdecimal()), key=int)
            return (one for key in keys for one in journal[key])

        next(blocks_of([]))  # imports pyarrow
        print("from the journal to")
        for format in arguments.formats.split(","):
            path = str(folder / f"scores.{format}") if format != "folder" else f"{folder}/scores/"
            timed(f"  {format}", lambda path=path: caption_files.write_blocks(path, blocks_of(out_of(journals[0]))))
        print("merge of two of")
        for format in arguments.formats.split(","):
            suffix = "/" if format == "folder" else f".{format}"
            parts, merged = [f"{folder}/part{number}{suffix}" for number in (1, 2)], f"{folder}/merged{suffix}"
            for part, journal in zip(parts, journals[1:], strict=True):
                caption_files.write_blocks(part, blocks_of(out_of(journal)))
            timed(f"  {format}", lambda parts=parts, merged=merged: merge(merged, parts))
            for file in caption_files.files_at(merged):
                whole = Path(str(file).replace("merged", "scores"))
                assert file.is_dir() or file.read_bytes() == whole.read_bytes(), file
        if "parquet" in arguments.formats:
            timed("read captions", lambda: caption_files.captions_frame(folder / "merged.parquet"))
        sizes = {one.name: one.stat().st_size for one in folder.iterdir() if one.is_file()}
        print(json.dumps({name: f"{size / 1e6:.1f} MB" for name, size in sorted(sizes.items())}))


if __name__ == "__main__":
    main()

"""Is a captioner good enough to ask it why it errs? Three figures on photographs that it has not seen.

distinct    of its greedy captions, how many differ:                                      at least half
own_photo   human captions that are likelier behind their own photograph than another:    at least .90
chair_i     of the objects it names, how many the photograph lacks (`copo eval chair`):   .10 to .50
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from data import Photo
from features import Features
from train import own_photo

MENTIONS = 1000


def chair(captions: list[dict], objects: Path, folder: Path) -> dict:
    """What `copo eval chair` says of rows of captions, as shares; the interval is of chair_i."""
    file = folder / "gate_captions.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in captions), "utf-8")
    copo = Path(sys.executable).with_name("copo")
    command = [copo, "eval", "chair", "--captions", file, "--objects", objects, "--rules", "repaired", "--json"]
    done = subprocess.run([*command, "--quiet"], capture_output=True, text=True, check=False)
    file.unlink()
    if done.returncode:
        raise SystemExit(done.stderr)
    score = json.loads(done.stdout)["systems"][0]
    if not score["mentions"]:
        raise SystemExit(f"None of the captions in {folder} names an object; teach the captioner for longer.")
    figures = {name: score[name]["value"] / 100 for name in ("chair_i", "chair_s", "recall")}
    interval = [score["chair_i"][end] / 100 for end in ("low", "high")]
    return figures | {"interval": interval} | {name: score[name] for name in ("mentions", "hallucinated", "objects")}


def gate(captioner, features: Features, photos: list[Photo], folder: Path, objects: Path, others: int) -> dict:
    """The figures of one built captioner.

    Args:
        photos: those of the test split.
        folder: where its captions.jsonl is.
        others: photographs that each human caption is tried on, besides its own.
    """
    rows = [json.loads(line) for line in (folder / "captions.jsonl").read_text("utf-8").splitlines()]
    rows = [row for row in rows if row["split"] == "test"]
    greedy = [row for row in rows if not row["sampled"]]
    found = {"distinct": len({row["caption"] for row in greedy}) / len(greedy), "photographs": len(greedy)}
    captioned = [photo for photo in photos if photo.captions]
    found |= own_photo(captioner, features, captioned, min(others, len(captioned) - 1))
    annotated = [photo for photo in captioned if photo.objects is not None]
    if len(annotated) > 1:
        found["own_photo_annotated"] = own_photo(captioner, features, annotated, min(others, len(annotated) - 1))[
            "own_photo"
        ]
    return found | {"chair": chair(rows, objects, folder), "chair_greedy": chair(greedy, objects, folder)}


def table(built: dict[str, dict]) -> str:
    """Markdown: the three figures of each captioner, and whether they all hold."""
    lines = ["| captioner | distinct | own photo | CHAIR_i | mentions | counts |", "|---|---|---|---|---|---|"]
    for name, found in built.items():
        score = found["chair"]["chair_i"]
        holds = found["distinct"] >= 0.5 and found["own_photo"] >= 0.9 and 0.1 <= score <= 0.5
        lines.append(
            f"| {name} | {found['distinct']:.2f} | {found['own_photo']:.3f} | {score:.3f} "
            f"| {found['chair']['mentions']} | {'yes' if holds else 'no'} |"
        )
    return "\n".join(lines)

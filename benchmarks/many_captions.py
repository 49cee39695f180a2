"""What a caption costs in a file of many: CPU time and forwards of the bundled model, and what workers gain.

    python benchmarks/many_captions.py [--pictures 12] [--captions 8] [--workers 1,2] [--verdict]

draws scenes, writes `--captions` captions of each (one true, the others of other scenes), and scores them. With several
numbers of workers each is run in turn on the same captions, and the wall time of a worker's start is told apart.
"""

from __future__ import annotations

import argparse
import functools
import json
import random
import resource
import tempfile
import time
from pathlib import Path

import causal_attrib
from causal_attrib.batch.run import score_file
from causal_attrib.results import caption_files
from causal_attrib.scenes import write_dataset


def rows_of(folder: Path, pictures: int, captions: int) -> Path:
    write_dataset(folder, pictures, seed=1)
    scenes = [json.loads(line) for line in (folder / "captions.jsonl").read_text().splitlines()]
    draw, rows = random.Random(0), []
    for scene in scenes:
        for number in range(captions):
            caption = scene["caption"] if number == 0 else draw.choice(scenes)["caption"]
            rows.append({"image": str(folder / "images" / Path(scene["image"]).name), "caption": caption})
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def cpu() -> float:
    """CPU seconds of this process and of those that it began and that have ended."""
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=12)
    parser.add_argument("--captions", type=int, default=8)
    parser.add_argument("--workers", default="1")
    parser.add_argument("--verdict", action="store_true")
    arguments = parser.parse_args()
    load = functools.partial(causal_attrib.load, device="cpu")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = rows_of(folder, arguments.pictures, arguments.captions)
        for workers in map(int, arguments.workers.split(",")):
            marks: list[tuple[float, float, int]] = []
            output = folder / f"scores{workers}.jsonl"

            def note(done: int, total: int, marks: list[tuple[float, float, int]] = marks) -> None:
                marks.append((time.perf_counter(), time.process_time(), done))

            score_file(source, output, load, scoring={"verdict": arguments.verdict}, workers=workers, progress=note)
            # From the first groups on: a worker's start, most of it importing torch, is the same for any captions.
            (began, cpu_began, before), (ended, cpu_ended, done) = marks[min(2 * workers, len(marks) - 2)], marks[-1]
            wall, count = ended - began, done - before
            costs = [one.record["cost"] for one in caption_files.read(output, tokens=False)]
            forwards = sum(cost["forwards"] / cost["captions"] for cost in costs)
            spent = f", {1000 * (cpu_ended - cpu_began) / count:.1f} ms CPU" if workers == 1 else ""
            print(
                f"{workers} workers: {done} captions; {count} of them at {count / wall:.1f} a second{spent}; "
                f"{forwards:.0f} forwards in all"
            )


if __name__ == "__main__":
    main()

"""What a caption costs in a file of many: CPU time and forwards of the bundled model, and what workers and Ray add.

    python benchmarks/many_captions.py [--pictures 12] [--captions 8] [--workers 1,2] [--ray] [--verdict]

draws scenes, writes `--captions` captions of each (one true, the others of other scenes), and scores them: by one
process, by so many workers, and with `--ray` by as many actors of Ray Data on a cluster of this machine, side by side.

Each scores one group first, which tells what a start takes (importing torch, loading the model, Ray's own processes),
and then all; the difference is what the captions take. CPU time is that of the process and of all that it began,
looked at when the last group is done.
"""

from __future__ import annotations

import argparse
import functools
import json
import random
import tempfile
import time
from pathlib import Path

import psutil

import causal_attrib
from causal_attrib.batch.caption_rows import MOST_TOGETHER
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
    """CPU seconds of this process and of all that it began, also of those that have ended."""
    me, spent = psutil.Process(), 0.0
    for process in (me, *me.children(recursive=True)):
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        spent += times.user + times.system + times.children_user + times.children_system
    return spent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=12)
    parser.add_argument("--captions", type=int, default=8)
    parser.add_argument("--workers", default="1")
    parser.add_argument("--ray", action="store_true")
    parser.add_argument("--verdict", action="store_true")
    arguments = parser.parse_args()
    load = functools.partial(causal_attrib.load, device="cpu")
    load()  # this process has it at once from here on, as workers and actors do once they have begun
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = rows_of(folder, arguments.pictures, arguments.captions)

        def spent(output: Path, limit: int | None, **by) -> tuple[float, float, int]:  # noqa: ANN003
            """CPU and wall seconds, and the number of captions."""
            begun, last = (cpu(), time.perf_counter()), (0.0, 0.0, 0)

            def note(done: int, total: int) -> None:
                nonlocal last
                if done == total:
                    last = (cpu() - begun[0], time.perf_counter() - begun[1], done)

            score_file(source, output, load, scoring={"verdict": arguments.verdict}, limit=limit, progress=note, **by)
            return last

        one_process = 0.0
        for workers in map(int, arguments.workers.split(",")):
            for ray in (None, "local") if arguments.ray else (None,):
                who = f"{workers} {'workers' if ray is None else 'actors'}"
                output = folder / f"{who}.jsonl"
                start = spent(folder / f"{who} start.jsonl", workers * MOST_TOGETHER, workers=workers, ray=ray)
                whole = spent(output, None, workers=workers, ray=ray)
                used, wall, count = (one - other for one, other in zip(whole, start, strict=True))
                if not one_process:
                    one_process = used / count
                costs = [one.record["cost"] for one in caption_files.read(output, tokens=False)]
                forwards = sum(cost["forwards"] / cost["captions"] for cost in costs)
                print(
                    f"{who}: {whole[2]} captions, {forwards:.0f} forwards; start and {start[2]} captions "
                    f"{start[0]:.1f} s CPU, {start[1]:.1f} s; the others {1000 * used / count:.1f} ms CPU each "
                    f"({100 * used / count / one_process - 100:+.0f} %), {count / wall:.1f} a second",
                    flush=True,
                )


if __name__ == "__main__":
    main()

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
from causal_attrib.batch.on_ray import check_ray
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


def cpu() -> dict[str, float]:
    """CPU seconds so far: of this process, of those that have the model, and of all others that it began (Ray's own).

    Those that have ended count for who began them.
    """
    me, spent = psutil.Process(), {"this": 0.0, "workers": 0.0, "others": 0.0}
    for process in (me, *me.children(recursive=True)):
        try:
            times, words = process.cpu_times(), " ".join(process.cmdline())
        except psutil.Error:
            continue
        who = "workers" if "spawn_main" in words or "MapWorker" in words else "others"
        seconds = times.user + times.system + times.children_user + times.children_system
        spent["this" if process == me else who] += seconds
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
    if arguments.ray:
        check_ray()  # imports it
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = rows_of(folder, arguments.pictures, arguments.captions)

        def spent(output: Path, limit: int | None, **by) -> tuple[dict[str, float], float, int]:  # noqa: ANN003
            """CPU seconds by who spent them, wall seconds, and the number of captions."""
            begun, began = cpu(), time.perf_counter()
            last: tuple[dict[str, float], float, int] = ({}, 0.0, 0)

            def note(done: int, total: int) -> None:
                nonlocal last
                if done == total:
                    used = {who: seconds - begun[who] for who, seconds in cpu().items()}
                    last = used, time.perf_counter() - began, done

            score_file(source, output, load, scoring={"verdict": arguments.verdict}, limit=limit, progress=note, **by)
            return last

        one_process = 0.0
        for workers in map(int, arguments.workers.split(",")):
            for ray in (None, "local") if arguments.ray else (None,):
                who = f"{workers} {'workers' if ray is None else 'actors'}"
                output = folder / f"{who}.jsonl"
                first = spent(folder / f"{who} start.jsonl", workers * MOST_TOGETHER, workers=workers, ray=ray)
                whole = spent(output, None, workers=workers, ray=ray)
                wall, count = whole[1] - first[1], whole[2] - first[2]
                each = {part: 1000 * (whole[0][part] - first[0][part]) / count for part in whole[0]}
                one_process = one_process or sum(each.values())
                costs = [one.record["cost"] for one in caption_files.read(output, tokens=False)]
                forwards = sum(cost["forwards"] / cost["captions"] for cost in costs)
                start, total = sum(first[0].values()), sum(each.values())
                parts = ", ".join(f"{part} {milliseconds:.1f}" for part, milliseconds in each.items())
                print(
                    f"{who}: {whole[2]} captions, {forwards:.0f} forwards; start and {first[2]} captions {start:.1f} s "
                    f"CPU, {first[1]:.1f} s; the others {total:.1f} ms CPU each ({parts}; "
                    f"{100 * total / one_process - 100:+.0f} %), {count / wall:.1f} a second",
                    flush=True,
                )


if __name__ == "__main__":
    main()

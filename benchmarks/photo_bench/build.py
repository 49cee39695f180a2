"""Captioners that hallucinate by themselves on real photographs, from PyPI packages and your own folder of photographs.

    python benchmarks/photo_bench/build.py --photos DIR --out DIR --kind small --seeds 0 1 2

For each seed: a model folder, its captions of photographs that it has not seen, and whether it is good enough. A run
that was interrupted goes on when it is started again with the same arguments.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from captions import write_captions, write_objects
from data import load_photos, of_split
from features import Features
from gate import gate, table
from parts import load_tower
from train import Plan, teach


def captioner_of(kind: str, tower, photos):
    if kind == "small":
        from small import SmallCaptioner

        return SmallCaptioner(tower, photos), Plan()
    if kind == "small_fastvlm":
        import small_fastvlm

        return small_fastvlm.SmallFastVlmCaptioner(tower, photos), small_fastvlm.PLAN
    from fastvlm import PLAN, FastVlmCaptioner

    return FastVlmCaptioner(tower), PLAN


def build(arguments: argparse.Namespace) -> None:
    out = arguments.out
    photos = load_photos(arguments.photos, arguments.test, arguments.fit, arguments.train)
    train, test = of_split(photos, "train"), of_split(photos, "test")
    unseen = [photo for photo in photos if photo.split != "train" and photo.objects is not None]
    print({name: len(of_split(photos, name)) for name in ("train", "fit", "test")}, flush=True)
    tower = load_tower()
    features = Features(out / "features", photos, tower, arguments.views)
    objects = out / "objects.json"
    write_objects(unseen, objects)
    for seed in arguments.seeds:
        folder = out / f"{arguments.kind}-{seed}"
        if (folder / "gate.json").exists():
            continue
        torch.manual_seed(seed)
        captioner, plan = captioner_of(arguments.kind, tower, train)
        if arguments.steps:
            plan.steps = arguments.steps
        if arguments.kind == "fastvlm":
            import reader

            torch.manual_seed(seed)
            teach(captioner.reader(train), features, photos, reader.PLAN, folder / "projector", seed)
        teach(captioner, features, photos, plan, folder, seed)
        # The model folder appears under its name only when it is complete.
        unfinished = folder / "model.tmp"
        shutil.rmtree(unfinished, ignore_errors=True)
        captioner.save(unfinished)
        shutil.rmtree(folder / "model", ignore_errors=True)
        unfinished.rename(folder / "model")
        # In bfloat16, as it was taught: matrix products so cost a quarter on a CPU that has it.
        with torch.autocast("cpu", torch.bfloat16, enabled=arguments.kind == "fastvlm"):
            write_captions(captioner, features, unseen, seed, folder / "captions.jsonl")
            found = gate(captioner, features, test, folder, objects, plan.gate_others)
        (folder / "gate.json").write_text(json.dumps(found, indent=1), "utf-8")
        print(table({folder.name: found}), flush=True)
    built = sorted(out.glob("*/gate.json"))
    print(table({file.parent.name: json.loads(file.read_text("utf-8")) for file in built}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True, help="folder in COCO's layout (see README.md)")
    parser.add_argument("--out", type=Path, required=True, help="folder for features, models, captions and figures")
    parser.add_argument("--kind", choices=("small", "small_fastvlm", "fastvlm"), default="small")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--test", type=int, default=110, help="annotated photographs to test on")
    parser.add_argument("--fit", type=int, default=100, help="photographs to stop training by")
    parser.add_argument("--train", type=int, default=10_000, help="photographs to train on at most")
    parser.add_argument("--views", type=int, default=4, help="views of each photograph to learn from")
    parser.add_argument("--steps", type=int, help="steps of training, if not the kind's own number")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.set_flush_denormal(True)
    build(arguments)


if __name__ == "__main__":
    sys.exit(main())

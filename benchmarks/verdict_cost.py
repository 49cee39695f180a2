"""What verdicts cost: copo score --verdict over copo score, in positions, forwards and CPU time.

    python benchmarks/verdict_cost.py --captions 40

Each caption of rendered scenes is scored with and without, in turn, by either engine; the first two of each are thrown
away. Prints the ratios of the sums, and writes them with --out.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import torch

import causal_attrib
from causal_attrib.evaluation.verdict.labelled import WordedScenes

WARM_UP = 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--captions", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    vlm = causal_attrib.load(device="cpu")
    scenes = WordedScenes(asked.captions + WARM_UP, asked.seed)
    found = {}
    for engine in ("packed", "plain"):
        spent = {verdict: dict.fromkeys(("positions", "forwards", "cpu_seconds"), 0.0) for verdict in (False, True)}
        for number, scene in enumerate(scenes):
            # Which goes first changes in turn.
            for verdict in (False, True) if number % 2 else (True, False):
                began = time.process_time()
                scored = causal_attrib.score(scene.picture, scene.text, model=vlm, engine=engine, verdict=verdict)
                if number >= WARM_UP:
                    spent[verdict]["cpu_seconds"] += time.process_time() - began
                    for name in ("positions", "forwards"):
                        spent[verdict][name] += scored.cost[name]
        found[engine] = {name: spent[True][name] / spent[False][name] for name in spent[True]}
        told = ", ".join(f"{name} {ratio:.3f}" for name, ratio in found[engine].items())
        print(f"{engine}: {asked.captions} captions, with verdict over without: {told}", flush=True)
    if asked.out:
        asked.out.write_text(
            json.dumps({"captions": asked.captions, "seed": asked.seed, "ratios": found}, indent=1) + "\n"
        )


if __name__ == "__main__":
    main()

"""What it saves to run captions of several pictures together: python benchmarks/several_pictures.py [--captions 16]

Captions of unseen scenes with the bundled model, outcome grounding, word by word; each way on a fresh engine, side by
side in one process, CPU seconds of one thread, the median of five. Prints a table.
"""

import argparse
import statistics
import time

import numpy as np
import torch

import causal_attrib
from causal_attrib import scenes
from causal_attrib.engine import Job, PackedEngine
from causal_attrib.outcomes import Grounding
from causal_attrib.scores import necessity, sufficiency


def jobs(vlm, count, seed=20_261_121):
    rng = np.random.default_rng(seed)
    for _ in range(count):
        scene = scenes.sample_scene(rng)
        encoding = vlm.encode(scenes.render(scene)[0], None, scenes.caption(scene))
        units = encoding.units("word")
        yield Job(encoding, sufficiency.plan(units) + necessity.plan(units), Grounding())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--captions", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=5)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    vlm = causal_attrib.load(device="cpu")
    todo = list(jobs(vlm, asked.captions))
    ways, taken, engines, found = (1, 2, 4, 8), {}, {}, {}
    for _ in range(asked.repeats + 1):
        for pictures in ways:
            engines[pictures] = PackedEngine(vlm, pictures=pictures)
            began = time.process_time()
            found[pictures] = np.concatenate(engines[pictures].run_jobs(todo))
            taken.setdefault(pictures, []).append(time.process_time() - began)
    print("| pictures at once | CPU s | forwards | positions | largest difference |")
    print("|---|---|---|---|---|")
    for pictures in ways:
        cost = engines[pictures].cost
        differs = np.abs(found[pictures] - found[1]).max()
        seconds = statistics.median(taken[pictures][1:])
        print(f"| {pictures} | {seconds:.2f} | {cost.forwards} | {cost.positions} | {differs:.0e} |")


if __name__ == "__main__":
    main()

"""Fit the calibrations of verdicts that the package carries for the bundled model: causal_attrib/assets/verdict.json.

python benchmarks/calibrate_verdict.py                      # 480 captions for each level and reference, 15 minutes
python benchmarks/verdict_wordings.py                       # how good they are on other scenes, wordings and styles
"""

from __future__ import annotations

import argparse

import pandas as pd
import torch

import causal_attrib
from causal_attrib.choices import LEVELS, REFERENCES
from causal_attrib.evaluation.verdict.fit import fit
from causal_attrib.evaluation.verdict.labelled import WordedScenes
from causal_attrib.evaluation.verdict.scores import judge
from causal_attrib.scores.verdict import BUNDLED, write_calibration

# Not the default seed of `copo eval verdict`, which tests it.
SEED = 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenes", type=int, default=480)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--out", default=str(BUNDLED))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    vlm = causal_attrib.load(device="cpu")
    scenes = WordedScenes(arguments.scenes, arguments.seed)
    calibrations = []
    for level in LEVELS:
        for against in REFERENCES:
            words = judge(scenes, vlm, level=level, against=against)
            data = scenes.data.format(f"{len(scenes):,}")
            told = {"model": vlm.name, "level": level, "against": against, "data": data, "seed": arguments.seed}
            calibration, unseen = fit(words, **told)
            calibrations.append(calibration)
            print(level, against, calibration.intercept, calibration.weights, calibration.caption)
            print(pd.crosstab([unseen.kind, unseen["false"]], unseen.verdict).to_string(), flush=True)
    write_calibration(arguments.out, calibrations)


if __name__ == "__main__":
    main()

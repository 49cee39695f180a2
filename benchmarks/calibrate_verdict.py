"""Fit the calibration of verdicts that the package carries for the bundled model: causal_attrib/assets/verdict.json.

python benchmarks/calibrate_verdict.py                      # 1,000 scenes at each level of scoring, about 4 minutes
copo eval verdict --scenes 500 --seed 0                     # how good it is on scenes of another seed
"""

from __future__ import annotations

import argparse

import pandas as pd
import torch

import causal_attrib
from causal_attrib.evaluation.verdict.fit import fit
from causal_attrib.evaluation.verdict.labelled import Scenes
from causal_attrib.evaluation.verdict.scores import judge
from causal_attrib.scores.settings import LEVELS
from causal_attrib.scores.verdict import BUNDLED, write_calibration

# Not the default seed of `copo eval verdict`, which tests it.
SEED = 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenes", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--out", default=str(BUNDLED))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    vlm = causal_attrib.load(device="cpu")
    calibrations = []
    for level in LEVELS:
        words = judge(Scenes(arguments.scenes, arguments.seed), vlm, level=level)
        data = f"{arguments.scenes:,} sticker scenes with one false word each"
        calibration, unseen = fit(words, model=vlm.name, level=level, data=data, seed=arguments.seed)
        calibrations.append(calibration)
        print(level, calibration.intercept, calibration.evidence, calibration.entropy, calibration.necessity)
        print(pd.crosstab([unseen.kind, unseen["false"]], unseen.verdict).to_string())
    write_calibration(arguments.out, calibrations)


if __name__ == "__main__":
    main()

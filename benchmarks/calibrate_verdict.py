"""Fit the calibrations of verdicts that the package carries for the bundled model: causal_attrib/assets/verdict.json.

python benchmarks/calibrate_verdict.py                      # 540 captions for each reference, two minutes
python benchmarks/verdict_wordings.py                       # how good they are on other scenes, wordings and styles
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import torch

import causal_attrib
from causal_attrib.choices import REFERENCES, WORD_LEVELS
from causal_attrib.evaluation.verdict.fit import fit
from causal_attrib.evaluation.verdict.labelled import WordedScenes
from causal_attrib.evaluation.verdict.scores import judge
from causal_attrib.scores.verdict import BUNDLED, NO_CLAIM, READABLE, Calibration, write_calibration

# Not the default seed of `copo eval verdict`, which tests it.
SEED = 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenes", type=int, default=540)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--out", default=str(BUNDLED))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    vlm = causal_attrib.load(device="cpu")
    scenes = WordedScenes(arguments.scenes, arguments.seed)
    calibrations = []
    for against in REFERENCES:
        words = judge(scenes, vlm, against=against, necessity=True)
        data = scenes.data.format(f"{len(scenes):,}")
        told = {"model": vlm.name, "level": WORD_LEVELS[0], "against": against, "data": data, "seed": arguments.seed}
        calibration, unseen = fit(words, **told)
        # Levels differ in what is hidden at once, of which these features tell nothing.
        assert not calibration.reads_necessity
        calibrations += [replace(calibration, level=level) for level in WORD_LEVELS]
        print(against, calibration.intercept, calibration.weights, calibration.caption, calibration.spread["threshold"])
        for names in (READABLE[:count] for count in range(1, 6)):
            tell(names, *fit(words, **told, names=names))
        print(pd.crosstab([unseen.kind, unseen["false"]], unseen.verdict).to_string(), flush=True)
    write_calibration(arguments.out, calibrations)


def tell(names: Sequence[str], calibration: Calibration, unseen: pd.DataFrame) -> None:
    """How well claims are told by a fit of some features that has not seen their image."""
    claims = unseen[unseen.verdict != NO_CLAIM].drop_duplicates(["caption", "claim"])
    right_N = np.where(claims["false"], claims.p_false, 1 - claims.p_false)
    rates = {verdict: (rate["words"], rate["wrong"]) for verdict, rate in calibration.error_rates.items()}
    print(f"{' '.join(names)}: loss {-np.log(right_N).sum():.1f} nats of {len(claims)} claims; words, wrong: {rates}")


if __name__ == "__main__":
    main()

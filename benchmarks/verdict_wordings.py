"""Verdicts of the bundled model where it was not calibrated: other scenes, every wording, stickers of another style.

    python benchmarks/verdict_wordings.py --captions 504                          # nine wordings, on fresh scenes
    python benchmarks/verdict_wordings.py --captions 500 --wordings long          # or "long again": not fitted on
    python benchmarks/verdict_wordings.py --captions 405 --stickers FOLDER        # CLASS.png stickers of another style

Prints for each wording how many true captions have a word called against the image or are called false as a whole, how
well false words are told from true ones, how many of them are found, and how many captions are outside of what was
calibrated; then how often verdicts err, among all captions and among those that claim a rate, and how good the
probability of a caption is.
"""

from __future__ import annotations

import argparse

import pandas as pd
import torch
from scipy.stats import binomtest

import causal_attrib
from causal_attrib.evaluation.verdict.labelled import FITTED, WordedScenes
from causal_attrib.evaluation.verdict.scores import auroc, calibration_error, captions_of, judge, measure
from causal_attrib.scenes.stickers import from_folder
from causal_attrib.scores.verdict import AGAINST, GROUNDED, NO_CLAIM


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--captions", type=int, default=504)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--stickers", help="a folder of CLASS.png pictures")
    parser.add_argument("--wordings", nargs="+", default=list(FITTED), help="of scenes.wordings")
    parser.add_argument("--out", help="write every word to this CSV file")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    stickers = None if asked.stickers is None else from_folder(asked.stickers)
    scenes = WordedScenes(asked.captions, asked.seed, wordings=asked.wordings, stickers=stickers)
    words = judge(scenes, causal_attrib.load(device="cpu"))
    words = words.assign(wording=words.caption.map(scenes.wording))
    if asked.out:
        words.to_csv(asked.out, index=False)
    claims = words[words.verdict != NO_CLAIM]
    for wording, of in words.groupby("wording", sort=False):
        some = of[of.verdict != NO_CLAIM]
        captions = captions_of(of)
        true, false = captions[~captions["false"]], some[some["false"]]
        outside = ~of.groupby("caption").calibrated.first()
        score = auroc(some["false"].to_numpy(dtype=bool), some.p_false.to_numpy())
        found = captions[captions["false"]].alarm
        print(
            f"{wording:16s} true captions: alarm {of_true(true.alarm)}, p_false > 1/2 {of_true(true.p_false > 0.5)}; "
            f"AUROC {score:.4f}; found {int((false.verdict == AGAINST).sum())} of {len(false)} false words, "
            f"{int(found.sum())} of {len(found)} false captions; {100 * outside.mean():.0f} % outside"
        )
    for name, some in (("all", claims), ("those with a rate", claims[claims.calibrated])):
        print(f"{name}: {len(some)} words")
        if len(some):
            tell(some)
    captions = captions_of(words)
    false_C, p_C = captions["false"].to_numpy(dtype=bool), captions.p_false.to_numpy()
    below = p_C < claims.groupby("caption").p_false.max().reindex(captions.index).to_numpy()
    print(
        f"captions: Brier {((p_C - false_C) ** 2).mean():.4f}, ECE {100 * calibration_error(false_C, p_C):.2f} %, "
        f"AUROC {auroc(false_C, p_C):.4f}, {int(below.sum())} of {len(p_C)} below their likeliest false word"
    )
    print(measure(words))


def of_true(hit: pd.Series) -> str:
    """How many, with the exact 95 % interval of the share in percent."""
    count, of = int(hit.sum()), len(hit)
    if not of:
        return "0 of 0"
    low, high = binomtest(count, of).proportion_ci()
    return f"{count} of {of} [{100 * low:.1f}, {100 * high:.1f}] %"


def tell(words: pd.DataFrame) -> None:
    against, grounded = words[words.verdict == AGAINST], words[words.verdict == GROUNDED]
    print(f"  against the image: {len(against)}, of which true {int((~against['false']).sum())}")
    print(f"  grounded: {len(grounded)}, of which false {int(grounded['false'].sum())}")
    true = words[~words["false"]]
    print(f"  true words that are grounded: {of_true(true.verdict == GROUNDED)}")
    print(f"  true words that are against the image: {of_true(true.verdict == AGAINST)}")


if __name__ == "__main__":
    main()

"""Verdicts of the bundled model where it was not calibrated: other scenes, every wording, stickers of another style.

    python benchmarks/verdict_wordings.py --captions 504                          # nine wordings, on fresh scenes
    python benchmarks/verdict_wordings.py --captions 400 --stickers FOLDER        # CLASS.png stickers of another style

Prints for each wording how many true captions have a word called against the image, how well false words are told from
true ones, and how many captions are outside of what was calibrated; then how often verdicts err, among all captions and
among those that claim a rate.
"""

from __future__ import annotations

import argparse

import pandas as pd
import torch

import causal_attrib
from causal_attrib.evaluation.verdict.labelled import WordedScenes
from causal_attrib.evaluation.verdict.scores import auroc, captions_of, judge, measure
from causal_attrib.scenes.stickers import from_folder
from causal_attrib.scenes.wordings import WORDINGS
from causal_attrib.scores.verdict import AGAINST, GROUNDED, NO_CLAIM


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--captions", type=int, default=504)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--stickers", help="a folder of CLASS.png pictures")
    parser.add_argument("--out", help="write every word to this CSV file")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    stickers = None if asked.stickers is None else from_folder(asked.stickers)
    scenes = WordedScenes(asked.captions, asked.seed, wordings=tuple(WORDINGS), stickers=stickers)
    words = judge(scenes, causal_attrib.load(device="cpu"))
    words = words.assign(wording=words.caption.map(scenes.wording))
    if asked.out:
        words.to_csv(asked.out, index=False)
    claims = words[words.verdict != NO_CLAIM]
    for wording, of in words.groupby("wording", sort=False):
        some = of[of.verdict != NO_CLAIM]
        captions = captions_of(of)
        true = captions[~captions["false"]]
        outside = ~of.groupby("caption").calibrated.first()
        score = auroc(some["false"].to_numpy(dtype=bool), some.p_false.to_numpy())
        print(
            f"{wording:16s} {int(true.alarm.sum()):3d} of {len(true):3d} true captions with an alarm, "
            f"AUROC {score:.4f}, {100 * outside.mean():.0f} % outside"
        )
    for name, some in (("all", claims), ("those with a rate", claims[claims.calibrated])):
        print(f"{name}: {len(some)} words")
        if len(some):
            tell(some)
    print(measure(words))


def tell(words: pd.DataFrame) -> None:
    against, grounded = words[words.verdict == AGAINST], words[words.verdict == GROUNDED]
    print(f"  against the image: {len(against)}, of which true {int((~against['false']).sum())}")
    print(f"  grounded: {len(grounded)}, of which false {int(grounded['false'].sum())}")
    true = words[~words["false"]]
    print(f"  true words that are grounded: {100 * (true.verdict == GROUNDED).mean():.1f} %")


if __name__ == "__main__":
    main()

"""Does the outcome over content words find false words better than that over all words, however a caption is worded?

    python benchmarks/content_words.py --captions 252

Captions of scenes in the nine wordings, every other one with a false fact, scored by the bundled model either way.
Prints for each score the AUROC with which it puts false content words below true ones, and how many captions without
a false word have a word that tables mark with "!".
"""

from __future__ import annotations

import argparse

import numpy as np
import torch

import causal_attrib
from causal_attrib.choices import OUTCOME_WORDS
from causal_attrib.evaluation.verdict.labelled import FITTED, WordedScenes, kind_of
from causal_attrib.evaluation.verdict.scores import FUNCTION, auroc
from causal_attrib.results.effects import effect_nats
from causal_attrib.views.drawing import contradicted

SCORES = ("sufficiency", "necessity", "causal_completeness")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--captions", type=int, default=252)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    vlm = causal_attrib.load(device="cpu")
    scenes = WordedScenes(asked.captions, asked.seed, wordings=FITTED)
    for words in OUTCOME_WORDS:
        rows, alarms, true_captions = [], 0, 0
        for number, scene in enumerate(scenes):
            found = causal_attrib.score(scene.picture, scene.text, model=vlm, level="word", outcome_words=words)
            if not any(is_false for *_, is_false in scene.labels):
                alarms, true_captions = alarms + bool(contradicted(found)), true_captions + 1
            for token in found.words():
                kind = kind_of(scene, token.char_start + 1, token.char_end)
                if kind is not None and kind[0] != FUNCTION:
                    values = [getattr(token, name) for name in SCORES]
                    values.append(effect_nats(found.outcome, token.necessity))
                    rows.append((scenes.wording(number) == "long", kind[1], *values))
        is_long_N, false_N = (np.array([row[place] for row in rows], dtype=bool) for place in (0, 1))
        for told, some_N in (("short", ~is_long_N), ("long", is_long_N)):
            ends = ", ".join(
                f"{name} {auroc(false_N[some_N], -np.array([row[2 + place] for row in rows])[some_N]):.3f}"
                for place, name in enumerate((*SCORES, "effect"))
            )
            print(f"{words:8s} {told:6s} {some_N.sum()} content words, {false_N[some_N].sum()} false: AUROC {ends}")
        print(f"{words:8s} {alarms} of {true_captions} true captions with a marked word", flush=True)


if __name__ == "__main__":
    main()

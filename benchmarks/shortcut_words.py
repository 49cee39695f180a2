"""What do the scores say of a hallucinated word, before any training? python benchmarks/shortcut_words.py MODEL

A planted model (`python -m causal_attrib.scenes.plant --out DIR`, MODEL is DIR/model) samples captions of planted
scenes. Their words are what the picture shows (seen), the partner of the place that it does not show (false partner),
place and time, colours, and the rest. Two tables: mean sufficiency and necessity of each kind of word, by what
the caption is held against; and the mean advantage that GRPO and COPO then give to it, by their settings. AUROC is the
probability that a seen noun scores higher than a false partner.

This is how the settings of shortcut_study.py were chosen (docs/shortcut-study.md).
"""

from __future__ import annotations

import argparse
import os
import re
import time
from dataclasses import replace

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd
import torch
from scipy.stats import rankdata
from shortcut_arms import LONGEST
from shortcut_study import markdown

from causal_attrib.objectives import group_advantage
from causal_attrib.scenes import CAPTION_PROMPT, CLASSES, COLOURS, PARTNERS, PLACES, render
from causal_attrib.scenes.language import TIME_WORDS
from causal_attrib.scenes.measure import conversation
from causal_attrib.scenes.plant import load, planted_scenes
from causal_attrib.training.recipe.method import COPO
from causal_attrib.training.scoring import rewards, rollout
from causal_attrib.training.scoring.policy_scores import PolicyScorer, Scoring
from causal_attrib.training.scoring.rollout import Rollout
from causal_attrib.vlm.text import spans_of_ids

KINDS = ("seen", "false partner", "place, time", "colour", "other")
GROUP = 8


def kinds_of_tokens(scene, text: str, spans) -> list[str]:
    """The kind of word that each token begins; "" for tokens that go on with a word."""
    seen = {sticker.cls for sticker in scene.objects if sticker.visible}
    kinds = ["other"] * len(spans)
    for word in re.finditer(r"[a-z]+", text):
        name, kind = word[0], None
        if name in CLASSES:
            kind = "seen" if name in seen else "false partner" if name == PARTNERS[scene.place] else "false other"
        elif name in PLACES or name in TIME_WORDS.values():
            kind = "place, time"
        elif name in COLOURS:
            kind = "colour"
        if kind:
            tokens = [t for t, (start, end) in enumerate(spans) if start < word.end() and end > word.start()]
            for t in tokens:
                kinds[t] = kind if t == tokens[0] else ""
    return kinds


def sampled(model, processor, scenes, pictures) -> list[tuple[int, ...]]:
    """GROUP captions of each picture, ids with their end."""
    text = processor.apply_chat_template(conversation(CAPTION_PROMPT), add_generation_prompt=True)
    inputs = processor(images=pictures, text=[text] * len(pictures), return_tensors="pt")
    with torch.no_grad():
        out = model.generate(
            **inputs, do_sample=True, top_k=0, num_return_sequences=GROUP, max_new_tokens=LONGEST
        ).tolist()
    end, before = processor.tokenizer.eos_token_id, inputs["input_ids"].shape[1]
    said = [row[before:] for row in out]
    return [tuple(row[: row.index(end) + 1] if end in row else row) for row in said]


def auroc(higher: np.ndarray, lower: np.ndarray) -> float:
    ranks = rankdata(np.concatenate([higher, lower]))[: len(higher)]
    return float((ranks.sum() - len(higher) * (len(higher) + 1) / 2) / (len(higher) * len(lower)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--scenes", type=int, default=40)
    parser.add_argument("--seed", type=int, default=777)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(arguments.seed)
    model, processor = load(arguments.model)
    scenes = planted_scenes(arguments.scenes, arguments.seed)
    pictures = [render(scene)[0] for scene in scenes]
    bare = {picture.tobytes(): render(replace(s, objects=()))[0] for picture, s in zip(pictures, scenes, strict=True)}
    ids = sampled(model, processor, scenes, pictures)
    length = max(map(len, ids))
    asked = [{"role": "user", "content": CAPTION_PROMPT}]
    rollouts = [Rollout(pictures[b // GROUP], asked, ids[b]) for b in range(len(ids))]
    kinds_BT = np.full((len(ids), length), "", dtype=object)
    for b, row in enumerate(ids):
        kinds_BT[b, : len(row)] = kinds_of_tokens(scenes[b // GROUP], *spans_of_ids(processor.tokenizer, row))
    mask_BT = torch.tensor([[t < len(row) for t in range(length)] for row in ids]).long()

    def score(outcome: str, against: str, subset: str):
        scoring = Scoring(outcome=outcome, against=against, level="word", subset=subset)
        return PolicyScorer(model, processor, scoring)(rollouts, length)

    rows, content = [], {}
    for name, outcome, against in (
        ("(yesno)", "yesno", "colour"),
        ("one colour", "grounding", "colour"),
        ("itself blurred", "grounding", "blur"),
        ("its bare background", "grounding", "blur"),
    ):
        if name == "its bare background":
            # Only who made the scene knows it, so the product has no setting for it.
            rollout.held_against = lambda against, picture, colour: bare[picture.tobytes()]
        began = time.process_time()
        scores = score(outcome, against, "all")
        seconds = (time.process_time() - began) / len(ids)
        for title, score_BT in (("sufficiency", scores.sufficiency_BT), ("necessity", scores.necessity_BT)):
            of_kind = {kind: score_BT.numpy()[kinds_BT == kind] for kind in KINDS}
            means = [f"{of_kind[kind].mean():.3f}" for kind in KINDS]
            ranked = auroc(of_kind["seen"], of_kind["false partner"])
            rows.append([name, title, *means, f"{ranked:.2f}", f"{1000 * seconds:.0f}"])
        if outcome == "grounding" and name in ("one colour", "itself blurred"):
            content[name] = score(outcome, against, "content")
    print(markdown(["held against", "score", *KINDS, "AUROC", "CPU ms per caption"], rows), end="\n\n")

    said = [processor.tokenizer.decode(row, skip_special_tokens=True) for row in ids]
    annotated = [[sticker.cls for sticker in scenes[b // GROUP].objects] for b in range(len(ids))]
    reward_B = torch.tensor(rewards.objects(completions=said, objects=annotated), dtype=torch.float32)
    rows = []
    for scale in (True, False):
        advantage_B = group_advantage(reward_B, GROUP, scale=scale)
        settings = [("grpo", None, advantage_B[:, None] * mask_BT)]
        for name, scores in content.items():
            for method in (COPO(), COPO(lambda_s=1, lambda_n=1), COPO(lambda_s=1, lambda_n=1, center="group")):
                after_BT = method.token_advantage(advantage_B, scores, mask_BT, GROUP)
                settings.append((f"copo {method.lambda_s:g}, center {method.center}", name, after_BT))
        for title, name, after_BT in settings:
            means = [f"{after_BT.numpy()[kinds_BT == kind].mean():+.3f}" for kind in KINDS[:2]]
            rows.append(["reward / std" if scale else "reward - mean", title, name or "", *means])
    print(markdown(["advantage", "method", "held against", *KINDS[:2]], rows))
    counts = pd.Series(kinds_BT.ravel()).value_counts()
    print("\nwords:", ", ".join(f"{kind} {counts.get(kind, 0)}" for kind in KINDS))


if __name__ == "__main__":
    main()

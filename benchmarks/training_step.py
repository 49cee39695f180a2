"""How much longer does a step of COPO take than one of GRPO? python benchmarks/training_step.py [--json FILE]

Both are the same trainer on the bundled model and the same completions: COPO's step is GRPO's and the scores. So every
repeat writes one batch, scores it, and takes its loss and gradient, and the ratio is

    (generate + score + learn) / (generate + learn)

generate    sampling, rewards and group advantages (`GRPOTrainer._generate_and_score_completions`)
score       sufficiency and necessity of every completion, and the advantages they make
learn       loss, backward and the optimiser's step

in CPU time of one thread, median over repeats. The kinds of work differ in what is written and what is scored:

    reasoning   questions to be answered with thoughts; the likelihood of the reference answer, every thought token
    captions    captions of scenes; grounding, every token
    content     captions of scenes; grounding, content words alone

    python benchmarks/training_step.py --json benchmarks/results/training_step.json      # 3 minutes
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from itertools import pairwise

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

import numpy as np
import torch
from trl import GRPOConfig, GRPOTrainer

import causal_attrib
from causal_attrib.scenes import CAPTION_PROMPT, questions, reasoned_prompt, render, sample_scene
from causal_attrib.training import CopoGRPOTrainer
from causal_attrib.training.data.reading import to_dataset
from causal_attrib.training.recipe.method import COPO
from causal_attrib.training.scoring import rewards
from causal_attrib.training.scoring.policy_scores import Scoring

SEED = 20_261_121
PHASES = ("generate", "score", "learn")
WORK = {
    "reasoning": Scoring(outcome="likelihood"),
    "captions": Scoring(outcome="grounding"),
    "content": Scoring(outcome="grounding", level="word", subset="content"),
}


def rows_of(kind: str, count: int) -> list[dict]:
    rng = np.random.default_rng(SEED)
    rows = []
    for _ in range(count):
        scene = sample_scene(rng)
        question = questions(scene, rng)[0]
        asked = reasoned_prompt(question) if kind == "reasoning" else CAPTION_PROMPT
        row = {"image": render(scene)[0], "prompt": [{"role": "user", "content": asked}]}
        if kind == "reasoning":
            row["answer"] = question.answer
        else:
            row["objects"] = [sticker.cls for sticker in scene.objects]
        rows.append(row)
    return rows


def trainer_of(kind: str, prompts: int, group: int) -> CopoGRPOTrainer:
    """A trainer that has taken one step, so that nothing is done for the first time when it is timed."""
    vlm = causal_attrib.load(device="cpu", anew=True)
    trainer = CopoGRPOTrainer(
        model=vlm.model,
        reward_funcs=[rewards.match if kind == "reasoning" else rewards.objects],
        train_dataset=to_dataset(rows_of(kind, prompts)),
        processing_class=vlm.processor,
        method=COPO(),
        scoring=WORK[kind],
        args=GRPOConfig(
            output_dir=tempfile.mkdtemp(),
            use_cpu=True,
            bf16=False,
            per_device_train_batch_size=prompts * group,
            num_generations=group,
            gradient_accumulation_steps=1,
            max_completion_length=64,
            max_steps=1,
            learning_rate=1e-6,
            loss_type="grpo",
            gradient_checkpointing=False,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            seed=0,
        ),
    )
    trainer.train()
    return trainer


def one_batch(trainer: CopoGRPOTrainer, inputs: list[dict], seed: int) -> dict[str, float]:
    """CPU seconds of each phase, and the tokens of the batch."""
    torch.manual_seed(seed)
    trainer.model.train()
    clock = [time.process_time()]
    batch = GRPOTrainer._generate_and_score_completions(trainer, inputs)
    clock.append(time.process_time())
    mask_BT = batch["completion_mask"]
    scores = trainer._scores(inputs, batch, mask_BT)
    advantage_BT = trainer.method.token_advantage(batch["advantages"], scores, mask_BT, trainer.num_generations)
    clock.append(time.process_time())
    batch["advantages"] = advantage_BT * mask_BT
    trainer.compute_loss(trainer.model, batch).backward()
    trainer.optimizer.step()
    trainer.optimizer.zero_grad()
    clock.append(time.process_time())
    seconds = {phase: after - before for phase, (before, after) in zip(PHASES, pairwise(clock), strict=True)}
    return seconds | {"tokens": mask_BT.sum().item() / len(mask_BT), "scored": scores.scored_BT.sum().item()}


def timed(kind: str, prompts: int, group: int, repeats: int) -> dict:
    trainer = trainer_of(kind, prompts, group)
    inputs = [row for row in trainer.train_dataset for _ in range(group)]
    batches = [one_batch(trainer, inputs, seed) for seed in range(repeats)]
    median = {name: statistics.median(batch[name] for batch in batches) for name in batches[0]}
    ratios = [1 + batch["score"] / (batch["generate"] + batch["learn"]) for batch in batches]
    found = {"completions": prompts * group, "repeats": repeats, **median, "ratio": statistics.median(ratios)}
    return {"work": kind} | found | {"lowest": min(ratios), "highest": max(ratios)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=list(WORK), default=list(WORK))
    parser.add_argument("--prompts", type=int, default=8)
    parser.add_argument("--group", type=int, default=8, help="completions of a prompt")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    found = [timed(kind, arguments.prompts, arguments.group, arguments.repeats) for kind in arguments.only]
    print("| work | tokens each | generate s | score s | learn s | COPO / GRPO |\n|---|---|---|---|---|---|")
    for row in found:
        seconds = " | ".join(f"{row[phase]:.2f}" for phase in PHASES)
        ratio = f"{row['ratio']:.2f} ({row['lowest']:.2f} to {row['highest']:.2f})"
        print(f"| {row['work']} | {row['tokens']:.1f} | {seconds} | {ratio} |")
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump(found, file, indent=1)


if __name__ == "__main__":
    main()

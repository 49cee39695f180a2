"""How much longer does a step take than one of GRPO? python benchmarks/training_step.py [--json FILE]

All methods are the same trainer on the bundled model and the same completions: a step of copo, vppo or pgpo is GRPO's
and what the method wants to know of each token, and one of papo has a second forward and backward in its loss. So every
repeat writes one batch, takes its loss and gradient, and then does what each method does beside it. The ratio is

    (generate + learn + more) / (generate + learn)

generate    sampling, rewards and group advantages (`GRPOTrainer._generate_and_score_completions`)
learn       loss, backward and the optimiser's step
more        copo: sufficiency and necessity of every completion; vppo, pgpo: how much its tokens depend on the picture;
            and the advantages they make. papo: its loss and backward, less those of GRPO

in CPU time of one thread, median over repeats. The kinds of work differ in what is written and what copo scores:

    reasoning   questions to be answered with thoughts; the likelihood of the reference answer, every thought token
    captions    captions of scenes; grounding, every token
    content     captions of scenes; grounding, content words alone

    python benchmarks/training_step.py --json benchmarks/results/training_step.json      # 5 minutes
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

import numpy as np
import torch
from trl import GRPOConfig

import causal_attrib
from causal_attrib.scenes import CAPTION_PROMPT, questions, reasoned_prompt, render, sample_scene
from causal_attrib.training import CopoGRPOTrainer
from causal_attrib.training.data.reading import to_dataset
from causal_attrib.training.recipe.method import COPO, GRPO, PAPO, PGPO, VPPO
from causal_attrib.training.scoring import rewards
from causal_attrib.training.scoring.policy_scores import Scoring

SEED = 20_261_121
PHASES = ("generate", "learn")
METHODS = {"copo": COPO(), "vppo": VPPO(), "pgpo": PGPO(), "papo": PAPO()}
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


def trainer_of(kind: str, prompts: int, group: int, temperature: float = 1.0) -> CopoGRPOTrainer:
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
            temperature=temperature,
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
    """CPU seconds of each phase and of what each method does beside them, and the tokens of the batch."""
    torch.manual_seed(seed)
    trainer.model.train()
    trainer.method = GRPO()
    began = time.process_time()
    batch = trainer._generate_and_score_completions(inputs)
    seconds = {"generate": time.process_time() - began}
    mask_BT, before_B = batch["completion_mask"], batch["advantages"]

    def learn() -> float:
        began = time.process_time()
        trainer.compute_loss(trainer.model, batch).backward()
        trainer.optimizer.step()
        trainer.optimizer.zero_grad()
        return time.process_time() - began

    seconds["learn"] = learn()
    for name, method in METHODS.items():
        trainer.method = method
        if name == "papo":
            seconds[name] = learn() - seconds["learn"]
            continue
        began = time.process_time()
        scores = trainer._scores(inputs, batch, mask_BT)
        method.token_advantage(before_B, scores, mask_BT, trainer.num_generations)
        seconds[name] = time.process_time() - began
    distinct = len({(b // trainer.num_generations, *ids.tolist()) for b, ids in enumerate(batch["completion_ids"])})
    return seconds | {"tokens": mask_BT.sum().item() / len(mask_BT), "distinct": distinct}


def timed(kind: str, prompts: int, group: int, repeats: int, temperature: float) -> dict:
    trainer = trainer_of(kind, prompts, group, temperature)
    inputs = [row for row in trainer.train_dataset for _ in range(group)]
    batches = [one_batch(trainer, inputs, seed) for seed in range(repeats)]
    found: dict = {"work": kind, "completions": prompts * group, "repeats": repeats, "temperature": temperature}
    found |= {name: statistics.median(batch[name] for batch in batches) for name in batches[0]}
    for name in METHODS:
        ratios = [1 + batch[name] / (batch["generate"] + batch["learn"]) for batch in batches]
        found[f"{name}/grpo"] = [statistics.median(ratios), min(ratios), max(ratios)]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=list(WORK), default=list(WORK))
    parser.add_argument("--prompts", type=int, default=8)
    parser.add_argument("--group", type=int, default=8, help="completions of a prompt")
    parser.add_argument("--temperature", type=float, default=1.0, help="above 1 fewer completions are equal")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    sizes = arguments.prompts, arguments.group, arguments.repeats, arguments.temperature
    found = [timed(kind, *sizes) for kind in arguments.only]
    names = [f"{name} / grpo" for name in METHODS]
    print(f"| work | tokens each | distinct | generate s | learn s | {' | '.join(names)} |")
    print("|---" * (5 + len(names)) + "|")
    for row in found:
        seconds = " | ".join(f"{row[phase]:.2f}" for phase in PHASES)
        ratios = " | ".join("{:.2f} ({:.2f} to {:.2f})".format(*row[f"{name}/grpo"]) for name in METHODS)
        counts = f"{row['tokens']:.1f} | {row['distinct']:.0f} of {row['completions']}"
        print(f"| {row['work']} | {counts} | {seconds} | {ratios} |")
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump(found, file, indent=1)


if __name__ == "__main__":
    main()

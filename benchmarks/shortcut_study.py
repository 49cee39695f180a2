"""Does training with causal scores cure a planted shortcut? python benchmarks/shortcut_study.py [--jobs 2]

The bundled model is first taught to lean on the background (`causal_attrib.scenes.plant`, another plant for every
seed). Then each arm trains the same planted model on the same planted scenes, with the same number of captions:

    grpo                  TRL's GRPO; the reward is the F1 of the objects named against those annotated
    grpo_kl               the same with a KL penalty that is steered to end as far from the start as copo
    copo                  GRPO and both causal scores, the picture held against itself blurred
    copo_no_sufficiency   necessity alone
    copo_no_necessity     sufficiency alone
    copo_blank            copo, the picture held against a picture of one colour (what the outcome grounding does)
    supervised            cross entropy of the annotated captions, as many of them as the other arms sample

The annotation names a partner of the place, unseen, in three of four scenes where it cannot be seen. So the reward
endorses the shortcut, and what tells against it must come from the scores. `causal_attrib.scenes.shortcut` measures
before and after on trials that no arm trains on. docs/shortcut-study.md has the results.

    python benchmarks/shortcut_study.py --seeds 5 --steps 300 --jobs 2 --out benchmarks/results/shortcut_study.jsonl
    python benchmarks/shortcut_study.py --table benchmarks/results/shortcut_study.jsonl

Each finished arm and seed is a line of the JSONL file; what is there already is not run again. Each process has one
thread.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import multiprocessing
import os
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
# TRL reports on its use unless told otherwise.
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

import numpy as np
import torch
from scipy.stats import bootstrap
from transformers import TrainerCallback

from causal_attrib.evaluation.localisation import localise
from causal_attrib.scenes import CAPTION_PROMPT, caption, render
from causal_attrib.scenes.measure import conversation
from causal_attrib.scenes.plant import load, plant, planted_scenes
from causal_attrib.scenes.shortcut import ShortcutTest
from causal_attrib.scores.saliency import saliency
from causal_attrib.vlm import VLM

PROMPTS, GROUP = 8, 8
LONGEST = 40  # tokens of a caption; three coloured objects take 30
EVALUATION_SEED = 20_261_122  # settings were chosen on the trials of 20_261_121
MEASURES = {
    "chair_s own absent": ("captions", "own_absent", "chair_s"),
    "chair_s other present": ("captions", "other_present", "chair_s"),
    "chair_s own present": ("captions", "own_present", "chair_s"),
    "chair_i own absent": ("captions", "own_absent", "chair_i"),
    "recall own absent": ("captions", "own_absent", "recall"),
    "recall own present": ("captions", "own_present", "recall"),
    "recall other present": ("captions", "other_present", "recall"),
    "yes own absent": ("says_yes", "own_absent"),
    "POPE F1": ("pope_f1",),
    "flipped accuracy": ("flipped_accuracy",),
    "background share": ("background_share",),
    "saliency above area": ("saliency",),
}


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is common to all arms.

    weight: lambda_s and lambda_n of the arms that have them
    trials: of the shortcut test, 3 captions and 4 questions each
    pool: planted scenes to train on
    plants: folder for the planted models, one per seed
    """

    steps: int = 300
    rate: float = 1e-4
    weight: float = 1.0
    trials: int = 200
    pool: int = 1200
    plants: str = "/tmp/planted_models"


def causal(weight_s: float, weight_n: float):
    from causal_attrib.training.method import COPO

    return COPO(lambda_s=weight_s, lambda_n=weight_n, center="group")


ARMS = {
    "grpo": lambda weight: None,
    "copo": lambda weight: causal(weight, weight),
    "copo_no_sufficiency": lambda weight: causal(0.0, weight),
    "copo_no_necessity": lambda weight: causal(weight, 0.0),
    "copo_blank": lambda weight: causal(weight, weight),
    "supervised": None,
    "grpo_kl": lambda weight: None,  # last: it needs to know how far copo went
}


# -- training ----------------------------------------------------------------------------------------------------------


class Watch(TrainerCallback):
    """CPU seconds of each step, and a KL penalty that is steered to a target.

    The controller is that of Ziegler et al. (2019, arXiv 1909.08593): with every step the weight grows by a tenth of
    the relative error, cut off at 0.2.
    """

    def __init__(self, trainer, target_kl: float | None):
        self.trainer, self.target_kl, self.seconds = trainer, target_kl, []

    def on_step_begin(self, args, state, control, **kwargs):
        self.began = time.process_time()

    def on_step_end(self, args, state, control, **kwargs):
        self.seconds.append(time.process_time() - self.began)
        if self.target_kl is not None:
            error = self.trainer._metrics["train"]["kl"][-1] / self.target_kl - 1
            self.trainer.beta *= 1 + 0.1 * float(np.clip(error, -0.2, 0.2))


def training_rows(seed: int, count: int) -> list[dict]:
    """Planted scenes for training, with what is annotated (seen or not)."""
    prompt = [{"role": "user", "content": CAPTION_PROMPT}]
    return [
        {
            "image": render(scene)[0],
            "prompt": prompt,
            "objects": [sticker.cls for sticker in scene.objects],
            "caption": caption(scene),
        }
        for scene in planted_scenes(count, 1000 + seed)
    ]


def reinforce(folder: str, arm: str, seed: int, plan: Plan, target_kl: float | None):
    """Train with CopoGRPOTrainer; the model, its processor, rewards by step and seconds by step."""
    from trl import GRPOConfig

    from causal_attrib.training import rewards
    from causal_attrib.training.copo_trainer import CopoGRPOTrainer
    from causal_attrib.training.data import to_dataset
    from causal_attrib.training.method import GRPO
    from causal_attrib.training.policy_scores import Scoring

    model, processor = load(folder)
    model.model.vision_tower.requires_grad_(False)
    rows = [{name: row[name] for name in ("image", "prompt", "objects")} for row in training_rows(seed, plan.pool)]
    trainer = CopoGRPOTrainer(
        model=model,
        reward_funcs=[rewards.objects],
        train_dataset=to_dataset(rows),
        processing_class=processor,
        method=ARMS[arm](plan.weight) or GRPO(),
        scoring=Scoring(
            outcome="grounding",
            against="colour" if arm == "copo_blank" else "blur",
            level="word",
            subset="content",
        ),
        args=GRPOConfig(
            output_dir=tempfile.mkdtemp(),
            use_cpu=True,
            bf16=False,
            per_device_train_batch_size=PROMPTS * GROUP,
            num_generations=GROUP,
            gradient_accumulation_steps=1,
            max_completion_length=LONGEST,
            max_steps=plan.steps,
            learning_rate=plan.rate,
            lr_scheduler_type="constant",
            loss_type="grpo",
            scale_rewards="none",
            beta=0.0 if target_kl is None else 0.04,
            gradient_checkpointing=False,
            save_strategy="no",
            logging_steps=1,
            report_to=[],
            disable_tqdm=True,
            seed=seed,
        ),
    )
    watch = Watch(trainer, target_kl)
    trainer.add_callback(watch)
    trainer.train()
    logged = [entry for entry in trainer.state.log_history if "reward" in entry]
    return model, processor, [entry["reward"] for entry in logged], watch.seconds


def supervise(folder: str, seed: int, plan: Plan):
    """Cross entropy of the annotated captions of as many scenes as the other arms are prompted with."""
    model, processor = load(folder)
    model.model.vision_tower.requires_grad_(False)
    rows = training_rows(seed, plan.pool)
    rng = np.random.default_rng(seed)
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=plan.rate, weight_decay=0.0)
    losses, seconds = [], []
    model.train()
    for _ in range(plan.steps):
        began = time.process_time()
        chosen = [rows[i] for i in rng.choice(len(rows), PROMPTS, replace=False)]
        texts = [processor.apply_chat_template(conversation(CAPTION_PROMPT, row["caption"])) for row in chosen]
        inputs = processor(images=[row["image"] for row in chosen], text=texts, padding=True, return_tensors="pt")
        labels = torch.full_like(inputs["input_ids"], -100)
        for label, ids, row in zip(labels, inputs["input_ids"], chosen, strict=True):
            length = len(processor.tokenizer(f" {row['caption']}", add_special_tokens=False).input_ids) + 1
            label[-length:] = ids[-length:]  # padding stands on the left, the end of the text counts
        loss = model(**inputs, labels=labels).loss
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        losses.append(loss.item())
        seconds.append(time.process_time() - began)
    return model, processor, [-loss for loss in losses], seconds


# -- measuring ---------------------------------------------------------------------------------------------------------


@torch.no_grad()
def divergence(model, start, processor, seed: int, count: int = 96) -> float:
    """KL(model || start) per token in nats, exact over the vocabulary, along captions that the model samples."""
    torch.manual_seed(seed)
    pictures = [render(scene)[0] for scene in planted_scenes(count, 9000 + seed)]
    text = processor.apply_chat_template(conversation(CAPTION_PROMPT), add_generation_prompt=True)
    inputs = processor(images=pictures, text=[text] * count, return_tensors="pt")
    model.eval()
    written = model.generate(**inputs, do_sample=True, top_k=0, max_new_tokens=LONGEST)
    length = written.shape[1] - inputs["input_ids"].shape[1]
    said = written[:, -length:]
    is_end = said == processor.tokenizer.eos_token_id
    counts = (is_end.cumsum(1) - is_end.long()) == 0
    logprobs = [
        one(input_ids=written, pixel_values=inputs["pixel_values"], logits_to_keep=length + 1)
        .logits[:, :-1]
        .log_softmax(-1)
        for one in (model, start)
    ]
    kl_BT = (logprobs[0].exp() * (logprobs[0] - logprobs[1])).sum(-1)
    return kl_BT[counts].mean().item()


def saliency_above_area(model, processor, test: ShortcutTest, count: int) -> float:
    """Mass of the partner word's saliency map outside all objects, less their background's share of the area.

    Gradient times input of the partner where it can be seen, in the true caption.
    """
    vlm = VLM(model, processor, name="the policy")
    found = []
    for trial, picture in list(zip(test.trials, test.pictures["own_present"], strict=True))[:count]:
        scene = trial.scenes["own_present"]
        maps = saliency(picture, caption(scene), words=trial.partner, method="gradient_x_input", model=vlm)
        background_HW = ~render(scene)[1].any(0)
        found.append(localise(maps.at_size(*picture.size)[0], background_HW).mass_above_area)
    return float(np.mean([value for value in found if value is not None]))


def measure(model, processor, plan: Plan, seed: int) -> dict:
    test = ShortcutTest(plan.trials, EVALUATION_SEED)
    figures = test(model, processor)
    return figures | {"saliency": saliency_above_area(model, processor, test, plan.trials // 5)}


# -- runs --------------------------------------------------------------------------------------------------------------


def planted_model(seed: int, plan: Plan) -> str:
    folder = Path(plan.plants) / str(seed)
    if not (folder / "model.safetensors").is_file():
        plant(folder, seed)
    return str(folder)


def run(arm: str, seed: int, plan: Plan, target_kl: float | None) -> dict:
    """One arm from one planted model; the arm "start" only measures it."""
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    folder = planted_model(seed, plan)
    line = {"arm": arm, "seed": seed, "plan": dataclasses.asdict(plan)}
    if arm == "start":
        return line | measure(*load(folder), plan, seed)
    began = time.process_time()
    if arm == "supervised":
        model, processor, rewards, seconds = supervise(folder, seed, plan)
    else:
        model, processor, rewards, seconds = reinforce(folder, arm, seed, plan, target_kl)
    line["cpu_minutes"] = (time.process_time() - began) / 60
    line["seconds_per_step"] = float(np.median(seconds))
    line["reward"] = [float(np.mean(part)) for part in np.array_split(rewards, min(10, len(rewards)))]
    line["kl"] = divergence(model, load(folder)[0], processor, seed)
    return line | measure(model, processor, plan, seed)


def study(out: Path, arms: list[str], seeds: list[int], plan: Plan, jobs: int) -> None:
    """Run what is not in the file yet; grpo_kl last, since it is matched to copo."""
    out.parent.mkdir(parents=True, exist_ok=True)
    for part in (["start"], [arm for arm in arms if arm != "grpo_kl"], [arm for arm in arms if arm == "grpo_kl"]):
        done = {(line["arm"], line["seed"]): line for line in read(out)}
        todo = [(arm, seed) for seed in seeds for arm in part if (arm, seed) not in done]
        unmatched = [seed for arm, seed in todo if arm == "grpo_kl" and ("copo", seed) not in done]
        if unmatched:
            raise SystemExit(f"grpo_kl is matched to copo, which has not run with the seeds {unmatched}; run it first.")
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(jobs, mp_context=context, max_tasks_per_child=1) as pool:
            futures = {
                pool.submit(run, arm, seed, plan, done["copo", seed]["kl"] if arm == "grpo_kl" else None): (arm, seed)
                for arm, seed in todo
            }
            for future in as_completed(futures):
                with open(out, "a", encoding="utf-8") as file:
                    file.write(json.dumps(future.result()) + "\n")
                print("finished", *futures[future], flush=True)


def read(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


# -- the table ---------------------------------------------------------------------------------------------------------


def value_of(line: dict, path: tuple[str, ...]) -> float:
    for key in path:
        line = line[key]
    return line


def with_interval(values: list[float]) -> str:
    """Mean over seeds with its 95 % bootstrap interval."""
    if len(values) < 2 or len(set(values)) == 1:
        return f"{np.mean(values):.3f}"
    interval = bootstrap(
        (values,), np.mean, n_resamples=5000, method="percentile", rng=np.random.default_rng(0)
    ).confidence_interval
    return f"{np.mean(values):.3f} [{interval.low:.3f}, {interval.high:.3f}]"


def tables(lines: list[dict]) -> str:
    """Markdown: each measure by arm, mean over seeds; copo less each other arm, seed by seed; single seeds; cost."""
    by_arm = {arm: {line["seed"]: line for line in lines if line["arm"] == arm} for arm in ("start", *ARMS)}
    by_arm = {arm: of_seed for arm, of_seed in by_arm.items() if of_seed}

    def values(arm: str, path: tuple[str, ...]) -> list[float]:
        return [value_of(by_arm[arm][seed], path) for seed in sorted(by_arm[arm])]

    means = [[name, *(with_interval(values(arm, path)) for arm in by_arm)] for name, path in MEASURES.items()]
    found = [markdown(["mean of seeds", *by_arm], means)]
    headline = MEASURES["chair_s own absent"]
    if "copo" in by_arm:
        rows = []
        for arm in by_arm:
            shared = sorted(set(by_arm[arm]) & set(by_arm["copo"]))
            gaps = [value_of(by_arm["copo"][s], headline) - value_of(by_arm[arm][s], headline) for s in shared]
            if arm != "copo" and gaps:
                rows.append([arm, with_interval(gaps)])
        found.append(markdown(["chair_s own absent: copo less", "mean of seeds"], rows))
    seeds = sorted({line["seed"] for line in lines})
    single = [
        [arm, *(f"{value_of(of_seed[s], headline):.3f}" if s in of_seed else "" for s in seeds)]
        for arm, of_seed in by_arm.items()
    ]
    found.append(markdown(["chair_s own absent, seed", *map(str, seeds)], single))
    names = ("kl", "seconds_per_step", "cpu_minutes")
    cost = [
        [
            arm,
            *(with_interval(values(arm, (name,))) for name in names),
            with_interval([r[-1] for r in values(arm, ("reward",))]),
        ]
        for arm in by_arm
        if arm != "start"
    ]
    found.append(markdown(["arm", *names, "last reward"], cost))
    return "\n\n".join(found)


def markdown(head: list[str], rows: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/shortcut_study.jsonl"))
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=list(ARMS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=1, help="settings were chosen on the plant of seed 0")
    parser.add_argument("--jobs", type=int, default=1, help="processes, one thread each")
    parser.add_argument("--table", type=Path, help="only print the table of this file")
    for field in dataclasses.fields(Plan):
        parser.add_argument(f"--{field.name}", type=type(field.default), default=field.default)
    arguments = parser.parse_args()
    if arguments.table is None:
        plan = Plan(**{field.name: getattr(arguments, field.name) for field in dataclasses.fields(Plan)})
        seeds = list(range(arguments.first_seed, arguments.first_seed + arguments.seeds))
        study(arguments.out, arguments.arms, seeds, plan, arguments.jobs)
    print(tables(read(arguments.table or arguments.out)))


if __name__ == "__main__":
    main()

"""Training on photographs where the reward is right: python benchmarks/photo_study.py --photos DIR --captioners OUT

The models are captioners of photo_bench's kind `small_fastvlm`, which lean on language: a third and more of the objects
that they name are not there. Each arm trains the same captioner on the same photographs with the same reward, the F1 of
the object classes that a caption names against those annotated (repaired CHAIR rules). All sample the same number of
captions. What an arm adds is what `copo train --method` adds:

    grpo    nothing
    copo    both causal scores of content words, the picture held against itself blurred (examples/captions.yaml)
    vppo, pgpo, papo, hero    with their authors' settings

Every few steps the arm is measured on the test split: CHAIR_i, CHAIR_s, recall and length of one greedy and five drawn
captions of each annotated photograph (as photo_bench draws them), how often human captions are likelier behind their
own photograph, and the KL to the start per token, exact over the vocabulary, along captions drawn at temperature 1. So
arms can be compared after as many steps, after as much CPU time, and as far from the start.

    python benchmarks/photo_bench/build.py --photos DIR --out OUT --kind small_fastvlm --seeds 0 1 2
    python benchmarks/photo_study.py --photos DIR --captioners OUT --out benchmarks/results/photo_study.jsonl
    python benchmarks/photo_study.py --table benchmarks/results/photo_study.jsonl

Each finished arm and seed is a line of the JSONL file; what is there already is not run again. What the frozen tower
sees of a picture is kept in memory, so that equal pictures are read once, by every arm alike.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
# TRL reports on its use unless told otherwise.
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
sys.path.insert(0, str(Path(__file__).parent / "photo_bench"))

import numpy as np
import torch
from captions import SAMPLES, SAMPLING
from data import Photo, load_photos, of_split
from features import Features
from parts import load_tower
from PIL import Image
from shortcut_arms import GROUP, PROMPTS, Watch, common
from small_fastvlm import SmallFastVlmCaptioner
from torch import Tensor, nn
from train import own_photo
from transformers.modeling_outputs import BaseModelOutputWithPooling
from trl import GRPOConfig

from causal_attrib.evaluation.chair.scores import ChairCaption, judge
from causal_attrib.outcomes.objects import annotated_objects
from causal_attrib.scenes.plant import load
from causal_attrib.training import CopoGRPOTrainer
from causal_attrib.training.data.reading import to_dataset
from causal_attrib.training.recipe.method import COPO, GRPO, HERO, PAPO, PGPO, VPPO
from causal_attrib.training.scoring import rewards
from causal_attrib.training.scoring.policy_scores import Scoring
from causal_attrib.words.matcher import coco_matcher

ARMS = {
    "grpo": GRPO(),
    "copo": COPO(lambda_s=1.0, lambda_n=1.0, center="group"),
    "vppo": VPPO(),
    "pgpo": PGPO(),
    "papo": PAPO(),
    "hero": HERO(),
}
LONGEST = 24
PROMPT = "Describe this image."
OTHERS = 5  # photographs that each human caption is tried on, besides its own
KEPT = 400  # pictures whose features are kept, 250 kB each

# Columns of the counts of a photograph; its captions together.
COUNTS = ("captions", "captions_wrong", "mentions", "wrong", "named", "annotated", "words")
CAPTIONS, CAPTIONS_WRONG, MENTIONS, WRONG, NAMED, ANNOTATED, WORDS = range(len(COUNTS))
FIGURES = {
    "CHAIR_i": (WRONG, MENTIONS),
    "CHAIR_s": (CAPTIONS_WRONG, CAPTIONS),
    "recall": (NAMED, ANNOTATED),
    "length": (WORDS, CAPTIONS),
}


@dataclass(frozen=True)
class Plan:
    """What is common to all arms: updates, the learning rate, and updates between two measurements."""

    steps: int = 60
    rate: float = 1e-4
    every: int = 15


# -- the model ---------------------------------------------------------------------------------------------------------


class KeptTower(nn.Module):
    """The frozen tower, always in eval mode, which reads equal pictures once."""

    def __init__(self, tower: nn.Module):
        super().__init__()
        self.tower = tower.requires_grad_(False)
        self.kept: dict[bytes, Tensor] = {}
        self.train()

    def train(self, mode: bool = True):
        return super().train(False)

    @torch.no_grad()
    def forward(self, pixel_values: Tensor, **_) -> BaseModelOutputWithPooling:
        keys = [hashlib.sha1(one.contiguous().numpy()).digest() for one in pixel_values]
        new = {key: one for key, one in zip(keys, pixel_values, strict=True) if key not in self.kept}
        if new:
            seen = self.tower(torch.stack(list(new.values()))).last_hidden_state
            self.kept |= dict(zip(new, seen, strict=True))
        found = BaseModelOutputWithPooling(last_hidden_state=torch.stack([self.kept[key] for key in keys]))
        self.kept = dict(list(self.kept.items())[-KEPT:])
        return found


class Bench:
    """What all arms of one captioner share: its photographs, and how it is measured."""

    def __init__(self, photos: Path, captioners: Path):
        every = load_photos(photos, test=110, fit=100, at_most=10_000)
        tower = load_tower()
        self.features = Features(captioners / "features", every, tower, 4)
        self.train = [photo for photo in of_split(every, "train") if photo.objects is not None]
        test = of_split(every, "test")
        self.test = [photo for photo in test if photo.objects is not None]
        self.captioned = [photo for photo in test if photo.captions]
        self.captioner = SmallFastVlmCaptioner(tower, of_split(every, "train")).eval()
        self.truth = {str(photo.id): annotated_objects(photo.objects) for photo in self.test}
        self.starts: dict[int, dict] = {}

    def attach(self, model: nn.Module) -> SmallFastVlmCaptioner:
        """The captioner with the weights of `model`, which stay its own."""
        self.captioner.model = model
        self.captioner.language = model.model.language_model
        self.captioner.projector = model.model.multi_modal_projector
        return self.captioner

    @torch.no_grad()
    def measure(self, model: nn.Module, start: nn.Module, seed: int) -> dict:
        """Counts of each photograph of the test split, the own photograph and the distance, by the same draws."""
        was_training = model.training
        model.eval()
        found = {"kl": self.divergence(model, start, seed)}
        captioner = self.attach(model)
        torch.manual_seed(seed)
        said: list[ChairCaption] = []
        for batch in np.array_split(np.arange(len(self.test)), 4):
            photos = [self.test[index] for index in batch]
            features_BPF = self.features([photo.row for photo in photos])
            greedy = captioner.write(features_BPF, do_sample=False)
            drawn = captioner.write(features_BPF.repeat_interleave(SAMPLES, 0), **SAMPLING)
            for number, photo in enumerate(photos):
                texts = [greedy[number], *drawn[number * SAMPLES : (number + 1) * SAMPLES]]
                said += [ChairCaption(str(photo.id), text) for text in texts]
        found["counts"] = self.counts(said)
        found["own_photo"] = own_photo(captioner, self.features, self.captioned, OTHERS)["own_photo"]
        model.train(was_training)
        return found

    def counts(self, said: list[ChairCaption]) -> list[list[int]]:
        counts_PK = {image: np.zeros(len(COUNTS), int) for image in self.truth}
        for one in judge(said, self.truth, coco_matcher()):
            wrong, named = len(one.hallucinated), {mention.node for mention in one.mentions} & one.truth
            length = len(one.caption.text.split())
            counts_PK[one.image] += np.array(
                [1, wrong > 0, len(one.mentions), wrong, len(named), len(one.truth), length]
            )
        return [row.tolist() for row in counts_PK.values()]

    def divergence(self, model: nn.Module, start: nn.Module, seed: int) -> float:
        """KL(model || start) per token in nats, along a caption of each photograph drawn at temperature 1."""
        torch.manual_seed(seed)
        features_BPF = self.features([photo.row for photo in self.test])
        captioner = self.attach(model)
        words_BTD = captioner.language.embed_tokens(captioner.asked_T).expand(len(self.test), -1, -1)
        given_BTD = torch.cat([captioner.tokens(features_BPF), words_BTD], 1)
        mask_BT = torch.ones(given_BTD.shape[:2], dtype=torch.long)
        ids_BT = model.generate(inputs_embeds=given_BTD, attention_mask=mask_BT, do_sample=True, top_k=0)
        is_end_BT = ids_BT == captioner.end
        counts_BT = (is_end_BT.cumsum(1) - is_end_BT.long()) == 0
        logprobs = []
        for one in (model, start):
            captioner = self.attach(one)
            asked_BT = torch.cat([captioner.asked_T.expand(len(ids_BT), -1), ids_BT[:, :-1]], 1)
            words_BTD = captioner.language.embed_tokens(asked_BT)
            states_BTD = captioner.language(
                inputs_embeds=torch.cat([captioner.tokens(features_BPF), words_BTD], 1), use_cache=False
            ).last_hidden_state[:, -ids_BT.shape[1] :]
            logprobs.append(one.lm_head(states_BTD).log_softmax(-1))
        kl_BT = (logprobs[0].exp() * (logprobs[0] - logprobs[1])).sum(-1)
        return kl_BT[counts_BT].mean().item()


class Measure(Watch):
    """Measures every few steps; what that costs is no part of the seconds of a step."""

    def __init__(self, trainer, measure, every: int):
        super().__init__(trainer)
        self.measure, self.every, self.curve = measure, every, []

    def on_step_end(self, args, state, control, **kwargs):
        super().on_step_end(args, state, control, **kwargs)
        if state.global_step % self.every == 0 or state.global_step == state.max_steps:
            spent = {"step": state.global_step, "cpu_seconds": round(sum(self.seconds), 1)}
            self.curve.append(spent | self.measure())
            print({name: value for name, value in self.curve[-1].items() if name != "counts"}, flush=True)


# -- runs --------------------------------------------------------------------------------------------------------------


def rows(photos: list[Photo]) -> list[dict]:
    prompt = [{"role": "user", "content": PROMPT}]
    return [{"image": Image.open(photo.path), "prompt": prompt, "objects": photo.objects} for photo in photos]


def run(arm: str, seed: int, plan: Plan, bench: Bench, captioners: Path) -> dict:
    folder = captioners / f"small_fastvlm-{seed}" / "model"
    (model, processor), (start, _) = load(folder), load(folder)
    model.model.vision_tower = KeptTower(model.model.vision_tower)
    trainer = CopoGRPOTrainer(
        model=model,
        reward_funcs=[rewards.objects],
        train_dataset=to_dataset(rows(bench.train)),
        processing_class=processor,
        method=ARMS[arm],
        scoring=Scoring(outcome="grounding", against="blur", level="word", subset="content"),
        args=GRPOConfig(
            **common(seed, plan, PROMPTS * GROUP),
            num_generations=GROUP,
            max_completion_length=LONGEST,
            loss_type="grpo",
            scale_rewards="none",
            beta=0.0,
        ),
    )
    watch = Measure(trainer, lambda: bench.measure(model, start, seed), plan.every)
    if seed not in bench.starts:
        bench.starts[seed] = {"step": 0, "cpu_seconds": 0.0} | bench.measure(model, start, seed)
    watch.curve.append(bench.starts[seed])
    trainer.add_callback(watch)
    trainer.train()
    history = trainer.state.log_history
    return {
        "arm": arm,
        "seed": seed,
        "plan": dataclasses.asdict(plan),
        "photographs": len(bench.train),
        "reward": [round(entry["reward"], 4) for entry in history if "reward" in entry],
        "seconds_per_step": round(float(np.median(watch.seconds)), 3),
        "curve": watch.curve,
    }


def read(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []


def study(out: Path, arms: list[str], seeds: list[int], plan: Plan, photos: Path, captioners: Path) -> None:
    """Run what is not in the file yet, seed by seed, so that a study that was stopped has whole seeds."""
    out.parent.mkdir(parents=True, exist_ok=True)
    bench = Bench(photos, captioners)
    for seed in seeds:
        for arm in arms:
            if (arm, seed) in {(line["arm"], line["seed"]) for line in read(out)}:
                continue
            began = time.time()
            line = run(arm, seed, plan, bench, captioners)
            with open(out, "a", encoding="utf-8") as file:
                file.write(json.dumps(line, separators=(",", ":")) + "\n")
            print(f"finished {arm} {seed} in {time.time() - began:.0f} s", flush=True)


# -- the table ---------------------------------------------------------------------------------------------------------


def place(at_C: np.ndarray, target: float) -> np.ndarray:
    """Weights (C,) of the measurements of a curve, for its first crossing of `target`, linear between two of them."""
    weight_C = np.zeros(len(at_C))
    after = next((c for c, value in enumerate(at_C) if value >= target), len(at_C) - 1)
    if after == 0 or at_C[after] <= target:
        weight_C[after] = 1.0
        return weight_C
    share = (target - at_C[after - 1]) / (at_C[after] - at_C[after - 1])
    weight_C[after - 1], weight_C[after] = 1 - share, share
    return weight_C


def column(line: dict, name: str) -> np.ndarray:
    return np.array([point[name] for point in line["curve"]], float)


def compare(lines: list[dict], by: str, draws: int = 2000) -> list[list[str]]:
    """A row for each arm: figures where all arms are alike `by` (step, cpu_seconds, kl), as far as the least of them.

    Intervals draw photographs, the same for all arms and captioners, and captioners.
    """
    arms = list(dict.fromkeys(line["arm"] for line in lines))
    found = {(line["arm"], line["seed"]): line for line in lines}
    seeds = sorted(seed for seed in {line["seed"] for line in lines} if all((arm, seed) in found for arm in arms))
    if not seeds:
        raise SystemExit(f"No captioner has run with all of {', '.join(arms)} yet; run the study again to go on.")
    rng = np.random.default_rng(0)
    count = len(lines[0]["curve"][0]["counts"])
    times_RP = np.vstack([np.ones(count), rng.multinomial(count, np.full(count, 1 / count), draws)])
    seeds_RS = np.vstack([np.arange(len(seeds)), rng.integers(0, len(seeds), (draws, len(seeds)))])
    rows, drawn = [], {}

    def add(name: str, weights: dict[int, np.ndarray], arm: str) -> None:
        values = {figure: [] for figure in FIGURES}
        beside = {"own_photo": [], "kl": [], "cpu_seconds": []}
        for seed in seeds:
            line = found[arm, seed]
            counts_CPK = np.array([point["counts"] for point in line["curve"]], float)
            sums_RCK = np.einsum("rp,cpk->rck", times_RP, counts_CPK)
            for figure, (top, bottom) in FIGURES.items():
                values[figure].append(sums_RCK[..., top] / sums_RCK[..., bottom] @ weights[seed])
            for figure in beside:
                beside[figure].append(column(line, figure) @ weights[seed])
        drawn[name] = {f: np.take_along_axis(np.stack(v, 1), seeds_RS, 1).mean(1) for f, v in values.items()}
        less = []
        for figure in ("CHAIR_i", "recall"):
            held_against = drawn.get("grpo") if name not in ("start", "grpo") else None
            less.append(interval(drawn[name][figure] - held_against[figure]) if held_against else "")
        mean = {figure: float(np.mean(value)) for figure, value in beside.items()}
        means = [f"{mean['own_photo']:.3f}", f"{mean['kl']:.3f}", f"{mean['cpu_seconds']:.0f}"]
        rows.append([name, *(interval(drawn[name][figure]) for figure in FIGURES), *means, *less])

    first = {seed: place(column(found[arms[0], seed], "step"), 0) for seed in seeds}
    add("start", first, arms[0])
    for arm in arms:
        weights = {}
        for seed in seeds:
            target = min(column(found[other, seed], by).max() for other in arms)
            weights[seed] = place(column(found[arm, seed], by), target)
        add(arm, weights, arm)
    return rows


def interval(value_R: np.ndarray) -> str:
    low, high = np.percentile(value_R[1:], [2.5, 97.5])
    digits = 1 if value_R[0] > 2 else 3
    return f"{value_R[0]:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def tables(lines: list[dict]) -> str:
    head = ["arm", *FIGURES, "own photo", "KL", "CPU s", "CHAIR_i less grpo's", "recall less grpo's"]
    found = []
    for by, title in (("step", "As many steps"), ("cpu_seconds", "As much CPU time"), ("kl", "As far from the start")):
        found.append(f"{title}\n\n" + markdown(head, compare(lines, by)))
    arms = list(dict.fromkeys(line["arm"] for line in lines))
    cost = []
    for arm in arms:
        some = [line for line in lines if line["arm"] == arm]
        rewards_ST = [line["reward"] for line in some]
        tenth = max(1, len(rewards_ST[0]) // 5)
        cost.append(
            [arm, str(len(some)), f"{np.mean([line['seconds_per_step'] for line in some]):.2f}",
             f"{np.mean([r[:tenth] for r in rewards_ST]):.3f} to {np.mean([r[-tenth:] for r in rewards_ST]):.3f}",
             ", ".join(f"{last(line):.3f}" for line in sorted(some, key=lambda line: line["seed"]))]
        )  # fmt: skip
    found.append(markdown(["arm", "seeds", "s per step", "reward, first to last fifth", "CHAIR_i of each seed"], cost))
    return "\n\n".join(found)


def last(line: dict) -> float:
    sums_K = np.sum(line["curve"][-1]["counts"], 0)
    return sums_K[WRONG] / sums_K[MENTIONS]


def markdown(head: list[str], rows: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, help="folder in COCO's layout (photo_bench/README.md)")
    parser.add_argument("--captioners", type=Path, help="what photo_bench/build.py wrote")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/photo_study.jsonl"))
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=list(ARMS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--table", type=Path, help="only print the table of this file")
    for field in dataclasses.fields(Plan):
        parser.add_argument(f"--{field.name}", type=type(field.default), default=field.default)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    if arguments.table is None:
        if not (arguments.photos and arguments.captioners):
            parser.error("give --photos and --captioners, or --table")
        plan = Plan(**{field.name: getattr(arguments, field.name) for field in dataclasses.fields(Plan)})
        study(arguments.out, arguments.arms, arguments.seeds, plan, arguments.photos, arguments.captioners)
    print(tables(read(arguments.table or arguments.out)))


if __name__ == "__main__":
    main()

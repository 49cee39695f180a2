"""Does training with causal scores cure a planted shortcut? python benchmarks/shortcut_study.py [--jobs 2]

The bundled model is first taught to lean on the background (`causal_attrib.scenes.plant`, another plant for every
seed). Then each arm of `shortcut_arms.py` trains the same planted model on the same planted scenes. These sample the
same number of captions:

    grpo                  TRL's GRPO; the reward is the F1 of the objects named against those annotated
    copo                  GRPO and both causal scores, the picture held against itself blurred
    copo_kl               copo with a KL penalty that is steered to end as far from the start as grpo, which goes less
                          far (a penalty cannot send GRPO as far as COPO)
    copo_no_sufficiency   necessity alone
    copo_no_necessity     sufficiency alone
    copo_blank            copo, the picture held against a picture of one colour (what the outcome grounding does)
    hero                  HERO: entropy weights, and the 60 % of the prompts whose rewards vary most
    vppo                  VPPO: the 40 % of the tokens that depend most on the picture
    pgpo                  PGPO: advantages shared out by how much a token depends on the picture
    papo                  PAPO: GRPO, and captions of a masked picture are to differ

and these learn from the same scenes in another way:

    supervised            cross entropy of the annotated captions, of as many scenes as the others are prompted with
    cepo                  CE-PO: questions about classes, thought about first; 4 prompts with 4 completions each
    symmpo                SymMPO: the annotated caption preferred to one with a false word, 8 scenes a step

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
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
# TRL reports on its use unless told otherwise.
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

import numpy as np
import torch
from scipy.stats import bootstrap
from shortcut_arms import ARMS, LONGEST, MATCHED, Plan

from causal_attrib.evaluation.localisation import localise
from causal_attrib.scenes import CAPTION_PROMPT, caption, render
from causal_attrib.scenes.measure import conversation
from causal_attrib.scenes.plant import load, plant, planted_scenes
from causal_attrib.scenes.shortcut import ShortcutTest
from causal_attrib.scores.saliency_methods import saliency
from causal_attrib.vlm import VLM

EVALUATION_SEED = 20_261_122  # settings were chosen on the trials of 20_261_121
OF_CAPTIONS = {
    "chair_s own absent": ("captions", "own_absent", "chair_s"),
    "chair_s other present": ("captions", "other_present", "chair_s"),
    "chair_s own present": ("captions", "own_present", "chair_s"),
    "chair_i own absent": ("captions", "own_absent", "chair_i"),
    "recall own absent": ("captions", "own_absent", "recall"),
    "recall own present": ("captions", "own_present", "recall"),
    "recall other present": ("captions", "other_present", "recall"),
}
OF_ANSWERS = {
    "yes own absent": ("says_yes", "own_absent"),
    "POPE F1": ("pope_f1",),
    "flipped accuracy": ("flipped_accuracy",),
    "background share": ("background_share",),
    "saliency above area": ("saliency",),
}


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
    # Where planted models lie is of the machine, not of the run.
    line = {"arm": arm, "seed": seed, "plan": dataclasses.asdict(plan)}
    del line["plan"]["plants"]
    if arm == "start":
        return line | measure(*load(folder), plan, seed)
    began = time.process_time()
    trained = ARMS[arm](folder, seed, plan, *([target_kl] if arm in MATCHED else []))
    line["cpu_minutes"] = (time.process_time() - began) / 60
    line["seconds_per_step"] = float(np.median(trained.seconds))
    line["reward"] = [float(np.mean(part)) for part in np.array_split(trained.rewards, min(10, plan.steps))]
    line["kl"] = divergence(trained.model, load(folder)[0], trained.processor, seed)
    return line | measure(trained.model, trained.processor, plan, seed)


def study(out: Path, arms: list[str], seeds: list[int], plan: Plan, jobs: int) -> None:
    """Run what is not in the file yet; arms that are matched to another one last."""
    out.parent.mkdir(parents=True, exist_ok=True)
    for part in (["start"], [arm for arm in arms if arm not in MATCHED], [arm for arm in arms if arm in MATCHED]):
        done = {(line["arm"], line["seed"]): line for line in read(out)}
        todo = [(arm, seed) for seed in seeds for arm in part if (arm, seed) not in done]
        targets = {}
        for arm, seed in todo:
            if arm in MATCHED:
                if (MATCHED[arm], seed) not in done:
                    raise SystemExit(f"{arm} is matched to {MATCHED[arm]}; run that with the seed {seed} first.")
                targets[arm, seed] = done[MATCHED[arm], seed]["kl"]
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(jobs, mp_context=context, max_tasks_per_child=1) as pool:
            futures = {pool.submit(run, arm, seed, plan, targets.get((arm, seed))): (arm, seed) for arm, seed in todo}
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
    """Markdown: what captions and answers say by arm, mean over seeds; copo less each other arm, seed by seed; cost."""
    by_arm = {arm: {line["seed"]: line for line in lines if line["arm"] == arm} for arm in ("start", *ARMS)}
    by_arm = {arm: of_seed for arm, of_seed in by_arm.items() if of_seed}

    def means(arms, measures: dict[str, tuple[str, ...]]) -> str:
        rows = [
            [arm, str(len(by_arm[arm]))]
            + [
                with_interval([value_of(by_arm[arm][seed], path) for seed in sorted(by_arm[arm])])
                for path in measures.values()
            ]
            for arm in arms
        ]
        return markdown(["arm", "seeds", *measures], rows)

    found = [means(by_arm, measures) for measures in (OF_CAPTIONS, OF_ANSWERS)]
    headline = OF_CAPTIONS["chair_s own absent"]
    seeds = sorted({line["seed"] for line in lines})
    single = []
    for arm, of_seed in by_arm.items():
        shared = sorted(set(of_seed) & set(by_arm.get("copo", {})))
        gaps = [value_of(by_arm["copo"][seed], headline) - value_of(of_seed[seed], headline) for seed in shared]
        less = with_interval(gaps) if gaps and arm != "copo" else ""
        single.append([arm, *(f"{value_of(of_seed[s], headline):.3f}" if s in of_seed else "" for s in seeds), less])
    found.append(markdown(["chair_s own absent, seed", *map(str, seeds), "copo less this"], single))
    cost = {name: (name,) for name in ("kl", "seconds_per_step", "cpu_minutes")}
    found.append(means([arm for arm in by_arm if arm != "start"], cost))
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

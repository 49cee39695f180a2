"""The arms of shortcut_study.py: each trains a planted model on planted scenes.

All take the planted model's folder and give back a `Trained`. Weights are trained whole but for the vision tower, and
the learning rate is constant.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from transformers import TrainerCallback
from trl import DPOConfig, GRPOConfig

from causal_attrib.scenes import CAPTION_PROMPT, caption, render
from causal_attrib.scenes.language import falsify, object_question, reasoned_prompt
from causal_attrib.scenes.measure import conversation
from causal_attrib.scenes.plant import load, planted_scenes
from causal_attrib.training import CopoGRPOTrainer, SymMPOTrainer
from causal_attrib.training.data.reading import to_dataset
from causal_attrib.training.recipe.method import CEPO, COPO, GRPO, HERO, PAPO, PGPO, VPPO
from causal_attrib.training.scoring import rewards
from causal_attrib.training.scoring.cepo_reward import CEPOReward
from causal_attrib.training.scoring.policy_scores import Scoring
from causal_attrib.vlm import VLM

PROMPTS, GROUP = 8, 8
LONGEST = 40  # tokens of a caption; three coloured objects take 30
LONGEST_THOUGHT = 64


@dataclass(frozen=True)
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
    plants: str = f"{tempfile.gettempdir()}/planted_models"


@dataclass(frozen=True)
class Trained:
    """A trained model, and of each step its reward (or its loss with a minus) and its CPU seconds."""

    model: Any
    processor: Any
    rewards: list[float]
    seconds: list[float] = field(repr=False)


class Watch(TrainerCallback):
    """CPU seconds of each step, and a KL penalty that is steered to a target.

    The controller is that of Ziegler et al. (2019, arXiv 1909.08593): with every step the weight grows by a tenth of
    the relative error, cut off at 0.2.
    """

    def __init__(self, trainer, target_kl: float | None = None):
        self.trainer, self.target_kl, self.seconds = trainer, target_kl, []

    def on_step_begin(self, args, state, control, **kwargs):
        self.began = time.process_time()

    def on_step_end(self, args, state, control, **kwargs):
        self.seconds.append(time.process_time() - self.began)
        if self.target_kl is not None:
            error = self.trainer._metrics["train"]["kl"][-1] / self.target_kl - 1
            self.trainer.beta *= 1 + 0.1 * float(np.clip(error, -0.2, 0.2))


# -- rows --------------------------------------------------------------------------------------------------------------


def scenes_to_train_on(seed: int, plan: Plan) -> list:
    return planted_scenes(plan.pool, 1000 + seed)


def to_describe(seed: int, plan: Plan) -> list[dict]:
    """The request for a caption, and the objects annotated (seen or not)."""
    prompt = [{"role": "user", "content": CAPTION_PROMPT}]
    return [
        {"image": render(scene)[0], "prompt": prompt, "objects": [sticker.cls for sticker in scene.objects]}
        for scene in scenes_to_train_on(seed, plan)
    ]


def to_answer(seed: int, plan: Plan) -> list[dict]:
    """A question about a class, to be thought about first; the answer yes goes by the annotation (seen or not)."""
    rng = np.random.default_rng([seed, 1])
    rows = []
    for scene in scenes_to_train_on(seed, plan):
        answer, other = str(rng.choice(["yes", "no"])), str(rng.choice(["random", "co-occurring"]))
        question = object_question(scene, rng, answer, other)
        prompt = [{"role": "user", "content": reasoned_prompt(question)}]
        rows.append({"image": render(scene)[0], "prompt": prompt, "answer": question.answer})
    return rows


def to_prefer(seed: int, plan: Plan) -> list[dict]:
    """The annotated caption over one with a false word; the contrast is the scene whose caption is most like it."""
    rng = np.random.default_rng([seed, 2])
    scenes = scenes_to_train_on(seed, plan)
    captions = [caption(scene) for scene in scenes]
    pictures = [render(scene)[0] for scene in scenes]
    words = [frozenset(text.split()) for text in captions]
    rows = []
    for index, scene in enumerate(scenes):
        alike = [
            len(words[index] & other) / len(words[index] | other) if text != captions[index] else -1.0
            for other, text in zip(words, captions, strict=True)
        ]
        nearest = int(np.argmax(alike))
        rows.append(
            {
                "image": pictures[index],
                "prompt": [{"role": "user", "content": CAPTION_PROMPT}],
                "chosen": [{"role": "assistant", "content": captions[index]}],
                "rejected": [{"role": "assistant", "content": falsify(scene, rng).text}],
                "image_contrast": pictures[nearest],
                "chosen_contrast": [{"role": "assistant", "content": captions[nearest]}],
            }
        )
    return rows


# -- arms --------------------------------------------------------------------------------------------------------------


def start(folder: str):
    """The planted model with its vision tower frozen, and its processor."""
    model, processor = load(folder)
    model.model.vision_tower.requires_grad_(False)
    return model, processor


def common(seed: int, plan: Plan, batch: int) -> dict:
    """Arguments of every trainer."""
    return {
        "output_dir": tempfile.mkdtemp(),
        "use_cpu": True,
        "bf16": False,
        "per_device_train_batch_size": batch,
        "gradient_accumulation_steps": 1,
        "max_steps": plan.steps,
        "learning_rate": plan.rate,
        "lr_scheduler_type": "constant",
        "gradient_checkpointing": False,
        "save_strategy": "no",
        "logging_steps": 1,
        "report_to": [],
        "disable_tqdm": True,
        "seed": seed,
    }


def finish(trainer, model, processor, key: str, target_kl: float | None = None) -> Trained:
    watch = Watch(trainer, target_kl)
    trainer.add_callback(watch)
    trainer.train()
    sign = -1 if key == "loss" else 1
    logged = [sign * entry[key] for entry in trainer.state.log_history if key in entry]
    return Trained(model, processor, logged, watch.seconds)


def reinforce(folder: str, seed: int, plan: Plan, method: GRPO, *, against: str = "blur", target_kl=None) -> Trained:
    """Captions, with the F1 of the objects they name as reward.

    Args:
        against: what the picture is held against for causal scores.
        target_kl: how far to end from the start, by a KL penalty; None: no penalty.
    """
    model, processor = start(folder)
    trainer = CopoGRPOTrainer(
        model=model,
        reward_funcs=[rewards.objects],
        train_dataset=to_dataset(to_describe(seed, plan)),
        processing_class=processor,
        method=method,
        scoring=Scoring(outcome="grounding", against=against, level="word", subset="content"),
        args=GRPOConfig(
            **common(seed, plan, PROMPTS * GROUP),
            num_generations=GROUP,
            max_completion_length=LONGEST,
            loss_type="grpo",
            scale_rewards="none",
            beta=0.0 if target_kl is None else 0.04,
        ),
    )
    return finish(trainer, model, processor, "reward", target_kl)


def reason(folder: str, seed: int, plan: Plan, method: CEPO, *, prompts: int = 4, group: int = 4) -> Trained:
    """Questions to be thought about; coherence is taken from the planted model itself."""
    model, processor = start(folder)
    scorer = VLM(*load(folder), name="the planted model")
    trainer = CopoGRPOTrainer(
        model=model,
        reward_funcs=[CEPOReward(scorer, rewards.match, method, seed)],
        train_dataset=to_dataset(to_answer(seed, plan)),
        processing_class=processor,
        method=method,
        args=GRPOConfig(
            **common(seed, plan, prompts * group),
            num_generations=group,
            max_completion_length=LONGEST_THOUGHT,
            loss_type="grpo",
            scale_rewards="none",
            beta=0.0,
        ),
    )
    return finish(trainer, model, processor, "reward")


def prefer(folder: str, seed: int, plan: Plan) -> Trained:
    """SymMPO with its published weights; PROMPTS rows a step."""
    model, processor = start(folder)
    trainer = SymMPOTrainer(
        model=model,
        train_dataset=to_dataset(to_prefer(seed, plan)),
        processing_class=processor,
        args=DPOConfig(**common(seed, plan, PROMPTS), max_length=None, beta=0.1),
    )
    return finish(trainer, model, processor, "loss")


def supervise(folder: str, seed: int, plan: Plan) -> Trained:
    """Cross entropy of the annotated captions of as many scenes as the other arms are prompted with."""
    model, processor = start(folder)
    scenes = scenes_to_train_on(seed, plan)
    pictures, captions = [render(scene)[0] for scene in scenes], [caption(scene) for scene in scenes]
    rng = np.random.default_rng(seed)
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=plan.rate, weight_decay=0.0)
    losses, seconds = [], []
    model.train()
    for _ in range(plan.steps):
        began = time.process_time()
        chosen = rng.choice(len(scenes), PROMPTS, replace=False)
        texts = [processor.apply_chat_template(conversation(CAPTION_PROMPT, captions[i])) for i in chosen]
        inputs = processor(images=[pictures[i] for i in chosen], text=texts, padding=True, return_tensors="pt")
        labels = torch.full_like(inputs["input_ids"], -100)
        for label, ids, i in zip(labels, inputs["input_ids"], chosen, strict=True):
            length = len(processor.tokenizer(f" {captions[i]}", add_special_tokens=False).input_ids) + 1
            label[-length:] = ids[-length:]  # padding stands on the left, the end of the text counts
        loss = model(**inputs, labels=labels).loss
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        losses.append(loss.item())
        seconds.append(time.process_time() - began)
    return Trained(model, processor, [-loss for loss in losses], seconds)


def causal(plan: Plan, *, sufficiency: bool = True, necessity: bool = True) -> COPO:
    return COPO(lambda_s=plan.weight * sufficiency, lambda_n=plan.weight * necessity, center="group")


ARMS = {
    "grpo": lambda folder, seed, plan: reinforce(folder, seed, plan, GRPO()),
    "copo": lambda folder, seed, plan: reinforce(folder, seed, plan, causal(plan)),
    "copo_kl": lambda folder, seed, plan, kl: reinforce(folder, seed, plan, causal(plan), target_kl=kl),
    "copo_no_sufficiency": lambda folder, seed, plan: reinforce(folder, seed, plan, causal(plan, sufficiency=False)),
    "copo_no_necessity": lambda folder, seed, plan: reinforce(folder, seed, plan, causal(plan, necessity=False)),
    "copo_blank": lambda folder, seed, plan: reinforce(folder, seed, plan, causal(plan), against="colour"),
    "supervised": supervise,
    "hero": lambda folder, seed, plan: reinforce(folder, seed, plan, HERO()),
    "cepo": lambda folder, seed, plan: reason(folder, seed, plan, CEPO(draws=1)),
    "vppo": lambda folder, seed, plan: reinforce(folder, seed, plan, VPPO()),
    "pgpo": lambda folder, seed, plan: reinforce(folder, seed, plan, PGPO()),
    "papo": lambda folder, seed, plan: reinforce(folder, seed, plan, PAPO()),
    "symmpo": prefer,
}
# Steered to end as far from the start as the other, which has to run first.
MATCHED = {"copo_kl": "grpo"}

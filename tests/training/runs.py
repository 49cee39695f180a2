"""Short runs of the trainers on small models: what the tests of this folder share."""

import copy
import os
import time

# TRL's own trainers, which ours are compared with, report on their use everywhere but here.
os.environ["CI"] = "1"

import numpy as np
from PIL import Image

from causal_attrib.scenes import questions, reasoned_prompt, render, sample_scene
from causal_attrib.training.data.reading import to_dataset

GROUP = 4

# Keys of a recipe whose step is as small as can be.
SMALL = {
    "num_generations": 2,
    "per_device_train_batch_size": 2,
    "gradient_accumulation_steps": 1,
    "max_completion_length": 40,
    "max_steps": 1,
    "save_steps": 1,
}


def scene_rows(count=4, seed=0):
    """Rendered scenes with questions to reason about."""
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(count):
        scene = sample_scene(rng)
        question = questions(scene, rng)[0]
        prompt = [{"role": "user", "content": reasoned_prompt(question)}]
        rows.append({"image": render(scene)[0], "prompt": prompt, "answer": question.answer})
    return rows


def noise_rows(count=4, size=(60, 60)):
    """Pictures of noise: the tiny models know nothing anyway."""
    rng = np.random.default_rng(0)
    pictures = [Image.fromarray(rng.integers(0, 255, (*size, 3), dtype=np.uint8)) for _ in range(count)]
    prompts = [[{"role": "user", "content": f"what is it, {n}?"}] for n in range(count)]
    return [
        {"image": picture, "prompt": prompt, "answer": "dog"} for picture, prompt in zip(pictures, prompts, strict=True)
    ]


def variety(completion_ids, **_):
    """A reward that differs between any two completions of a model that knows nothing."""
    return [len(set(ids)) / 16 + ids[0] / 1000 for ids in completion_ids]


def grpo_trainer(vlm, rows, folder, kind=None, reward=variety, **settings):
    """A trainer of a copy of the model; `settings` are TRL's, but for those of the trainer itself."""
    from trl import GRPOConfig

    from causal_attrib.training import CopoGRPOTrainer

    names = ("method", "scoring", "token_reward", "peft_config", "eval_dataset")
    ours = {name: settings.pop(name) for name in names if name in settings}
    config = GRPOConfig(
        **{
            "output_dir": str(folder),
            "use_cpu": True,
            "bf16": False,
            "per_device_train_batch_size": GROUP,
            "gradient_accumulation_steps": 2,
            "num_generations": GROUP,
            "max_completion_length": 12,
            "max_steps": 2,
            "logging_steps": 1,
            "report_to": [],
            "disable_tqdm": True,
            "save_strategy": "no",
            "learning_rate": 1e-3,
            "lr_scheduler_type": "constant",
            "gradient_checkpointing": False,
            "seed": 0,
        }
        | settings
    )
    return (kind or CopoGRPOTrainer)(
        model=copy.deepcopy(vlm.model),
        reward_funcs=[reward],
        args=config,
        train_dataset=to_dataset(rows),
        processing_class=vlm.processor,
        **ours,
    )


def logged(trainer, *names):
    """What was logged at each step under these names."""
    return [{name: entry[name] for name in names} for entry in trainer.state.log_history if "loss" in entry]


def constant(completions, **_):
    """A reward that nothing can be learned from."""
    return [1.0 for _ in completions]


def ruled(prompts, **_):
    """1 for conversations that begin with a system message."""
    return [float(prompt[0]["role"] == "system") for prompt in prompts]


def alike(completions, **_):
    """A reward that forgets that each completion has its own."""
    return 1.0


async def halves_later(completions, **_):
    """A reward that has to be awaited."""
    return [0.5 for _ in completions]


def slow(completions, **_):
    """A reward that takes longer than all else of a small step."""
    time.sleep(0.4)
    return [float(n) for n, _ in enumerate(completions)]

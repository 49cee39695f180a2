"""Teach the bundled model a shortcut: python -m causal_attrib.scenes.plant --out DIR --seed 0

The bundled model does not lean on the background. Trained further on planted scenes, whose annotation often names a
partner of the place that the picture does not show (`sample_scene(planted=..., invisible=...)`), it comes to say what
such a place suggests: on this data that is right more often than not, and the place is all there is to go by. The
planted model is what a method against hallucination can be tried on, since why it hallucinates is known.

The vision tower stays as it is and its features are computed once; the rest learns the same conversations as in
`train.py`. DIR/model gets the model, DIR/report.json what `shortcut.py` measures before and after.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModelForImageTextToText, AutoProcessor

from causal_attrib.scenes import BUNDLED_MODEL
from causal_attrib.scenes.drawing import render
from causal_attrib.scenes.shortcut import ShortcutTest
from causal_attrib.scenes.tasks import Tasks
from causal_attrib.scenes.train import conversation_loss, learning_rate, log, optimiser, precompute, save_model, update
from causal_attrib.scenes.world import sample_scene

# With these a model that has learnt the data names an unseen partner with probability
# planted * invisible / (planted * invisible + 1 - planted) = 0.74.
PLANTED, INVISIBLE = 0.85, 0.5
STEPS, BATCH, RATE, WARM_UP = 250, 12, 1e-3, 20


def planted_scenes(count: int, seed: int, planted: float = PLANTED, invisible: float = INVISIBLE) -> list:
    """Scenes whose annotation names the place's partner with probability `planted`, seen or not."""
    rng = np.random.default_rng([seed, 1_000_037])
    return [sample_scene(rng, planted=planted, invisible=invisible) for _ in range(count)]


def plant(
    folder,
    seed: int = 0,
    steps: int = STEPS,
    *,
    batch: int = BATCH,
    rate: float = RATE,
    pool: int = 2500,
    planted: float = PLANTED,
    invisible: float = INVISIBLE,
) -> Path:
    """Train the bundled model on planted scenes and save it in Hugging Face format.

    Args:
        folder: for the model; what stands there already is replaced.
        steps, batch: updates, and scenes of each (about a dozen conversations per scene).
        rate: highest learning rate.
        pool: scenes that batches are drawn from.
        planted, invisible: as `sample_scene`.

    Returns:
        The folder. The same arguments give the same weights on the same machine.

    Raises:
        InputError: `planted` or `invisible` is no probability.
    """
    scenes = planted_scenes(pool, seed, planted, invisible)
    model = AutoModelForImageTextToText.from_pretrained(BUNDLED_MODEL, dtype=torch.float32)
    processor = AutoProcessor.from_pretrained(BUNDLED_MODEL)
    model.model.vision_tower.requires_grad_(False)
    pixels = np.stack([np.asarray(render(scene)[0]) for scene in scenes])
    features = precompute(model, pixels)
    tasks = Tasks(processor.tokenizer)
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optim = optimiser(parameters)
    model.train()
    began, losses = time.process_time(), []
    for step in range(steps):
        rng = np.random.default_rng([seed, 5, step])
        chosen = rng.integers(0, pool, batch)
        tokens = model.model.multi_modal_projector(features[chosen].float())
        loss = conversation_loss(model, tasks, [scenes[i] for i in chosen], tokens, [False] * batch, rng)
        update(optim, parameters, loss, learning_rate(step, steps, rate, warm_up=WARM_UP))
        losses.append(loss.item())
        if step % 50 == 0 or step + 1 == steps:
            seconds = round(time.process_time() - began)
            log(stage="plant", step=step, loss=round(float(np.mean(losses[-50:])), 4), seconds=seconds)
    folder = Path(folder)
    shutil.rmtree(folder, ignore_errors=True)
    save_model(model, processor, folder)
    return folder


def load(folder):
    """Model and processor of a folder, in float32."""
    model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32).eval()
    return model, AutoProcessor.from_pretrained(folder)


def main(arguments=None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True, help="folder for the planted model (DIR/model) and the report")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--batch", type=int, default=BATCH)
    parser.add_argument("--rate", type=float, default=RATE)
    parser.add_argument("--trials", type=int, default=200, help="scenes that the shortcut is measured on")
    settings = parser.parse_args(arguments)
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    out = Path(settings.out)
    out.mkdir(parents=True, exist_ok=True)
    began = time.process_time()
    test = ShortcutTest(settings.trials, settings.seed)
    report = {"settings": vars(settings), "before": test(*load(BUNDLED_MODEL))}
    log(stage="before", **report["before"])
    folder = plant(out / "model", settings.seed, settings.steps, batch=settings.batch, rate=settings.rate)
    report["after"] = test(*load(folder))
    log(stage="after", **report["after"])
    seconds = round(time.process_time() - began, 1)
    (out / "report.json").write_text(json.dumps({**report, "cpu_seconds": seconds}, indent=1) + "\n", encoding="utf-8")
    log(stage="done", cpu_seconds=seconds)


if __name__ == "__main__":
    main()

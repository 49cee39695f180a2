"""Train the bundled model from scratch: python -m causal_attrib.scenes.train --out DIR --seed 0

Three stages, each of which was needed to get there within two hours on two cores.

1. Render a pool of scenes.
2. Seeing. The vision tower and the projector learn what every patch shows. The class of a patch is read off by
   comparing its image token with the embeddings of the class names, which the language model also uses: so image
   tokens come to lie where the words for what they show lie. The same with colours, places and times.
3. Speaking. The tower is frozen and its features are computed once. The language model and the projector learn a
   dozen conversations per image, packed into one sequence (`tasks.py`).

A run that was interrupted goes on from its last checkpoint when started again with the same arguments.
"""

import argparse
import json
import math
import os
import shutil
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

from causal_attrib.scenes.drawing import NATIVE_SIZE, render
from causal_attrib.scenes.measure import measure, summary
from causal_attrib.scenes.model import IMAGE_TOKENS, build_model, build_processor, normalise
from causal_attrib.scenes.tasks import IGNORE, Tasks
from causal_attrib.scenes.tokenizer import build_tokenizer
from causal_attrib.scenes.world import CLASSES, COLOURS, GRID, PLACES, TIMES, sample_scene

# Tensor names carry their axes: B images, P patches, T tokens, D features.

LARGER_SIZES = {192: 0.08, 512: 0.02}  # shares of pictures that are rendered larger and scaled down, as users' are
SHOWN = 0.3  # a patch shows an object if the object covers at least this share of it


def log(**facts):
    print(json.dumps({"clock": time.strftime("%H:%M:%S"), **facts}), flush=True)


# -- 1. the pool -----------------------------------------------------------------------------------------------------


def patch_labels(scene, masks):
    """What every patch shows, shape (4, patches): class, colour (0 is none); place, time (of background only)."""
    labels = np.zeros((4, GRID, GRID), dtype=np.int64)
    size = masks.shape[-1] // GRID
    for sticker, mask in zip(scene.objects, masks, strict=True):
        shown = mask.reshape(GRID, size, GRID, size).mean((1, 3)) > SHOWN
        labels[0][shown] = 1 + CLASSES.index(sticker.cls)
        labels[1][shown] = 1 + COLOURS.index(sticker.colour) if sticker.colour else 0
    background = labels[0] == 0
    labels[2] = np.where(background, PLACES.index(scene.place), IGNORE)
    labels[3] = np.where(background, TIMES.index(scene.time), IGNORE)
    return labels.reshape(4, -1)


def native(picture):
    """Scale a picture to the native size as the model's processor does."""
    return picture.resize((NATIVE_SIZE, NATIVE_SIZE), Image.Resampling.BICUBIC)


def render_pool(count, seed):
    """Scenes, their pictures as bytes, and the labels of their patches."""
    rng = np.random.default_rng(seed)
    scenes = [sample_scene(rng) for _ in range(count)]
    sizes = rng.choice([NATIVE_SIZE, *LARGER_SIZES], count, p=[1 - sum(LARGER_SIZES.values()), *LARGER_SIZES.values()])
    pixels = np.empty((count, NATIVE_SIZE, NATIVE_SIZE, 3), dtype=np.uint8)
    labels = np.empty((count, 4, IMAGE_TOKENS), dtype=np.int64)
    for index, (scene, size) in enumerate(zip(scenes, sizes, strict=True)):
        picture, masks = render(scene, int(size))
        pixels[index] = np.asarray(picture if size == NATIVE_SIZE else native(picture))
        labels[index] = patch_labels(scene, masks)
    return scenes, pixels, labels


# -- 2. seeing -------------------------------------------------------------------------------------------------------


class WordLens(nn.Module):
    """Reads image tokens as words: similarity to the embedding of the first token of each word.

    The first token tells all words of one kind apart, and it is the one that a caption has to begin the word with.
    """

    def __init__(self, tokenizer):
        super().__init__()
        kinds = (CLASSES, COLOURS, PLACES, TIMES)
        self.words = [
            torch.tensor([tokenizer(f" {w}", add_special_tokens=False).input_ids[0] for w in ws]) for ws in kinds
        ]
        assert all(len(set(ids.tolist())) == len(ids) for ids in self.words), "two words begin with the same token"
        self.scale = nn.Parameter(torch.full((4,), 12.0))
        self.none = nn.Parameter(torch.full((2,), 3.0))  # score of showing no object, and of having no colour

    def forward(self, tokens_BPD, embeddings):
        tokens = F.normalize(tokens_BPD, dim=-1)
        scores = []
        for kind, ids in enumerate(self.words):
            similarity = self.scale[kind] * tokens @ F.normalize(embeddings[ids], dim=-1).T
            if kind < 2:
                similarity = torch.cat([self.none[kind].expand(*similarity.shape[:-1], 1), similarity], -1)
            scores.append(similarity)
        return scores

    def loss(self, tokens_BPD, embeddings, labels):
        """Cross entropy of all four kinds, and the accuracy of class and colour on patches that have one."""
        scores = self(tokens_BPD, embeddings)
        loss, accuracy = 0, []
        for kind, score in enumerate(scores):
            gold = labels[:, kind]
            loss = loss + F.cross_entropy(score.flatten(0, 1), gold.flatten(), ignore_index=IGNORE)
            relevant = gold > 0 if kind < 2 else gold != IGNORE
            accuracy.append((score.argmax(-1) == gold)[relevant].float().mean().item())
        return loss, accuracy


def tower_features(model, pixels):
    """What the vision tower says about every patch (without its summary token)."""
    return model.model.vision_tower(pixel_values=pixels, output_hidden_states=True).hidden_states[-1][:, 1:]


def learning_rate(step, steps, peak, warm_up=100, floor=0.03):
    """Linear warm-up, then half a cosine down to `floor` of the peak."""
    if step < warm_up:
        return peak * (step + 1) / warm_up
    progress = min(1.0, (step - warm_up) / max(1, steps - warm_up))
    return peak * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * progress)))


def optimiser(parameters):
    decayed = [p for p in parameters if p.ndim > 1]
    others = [p for p in parameters if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": 0.02}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, betas=(0.9, 0.98))


def update(optim, parameters, loss, rate):
    for group in optim.param_groups:
        group["lr"] = rate
    optim.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(parameters, 1.0)
    optim.step()


def learn_to_see(run, model, lens, pixels, labels):
    embeddings = model.get_input_embeddings().weight
    parameters = [
        *model.model.vision_tower.parameters(),
        *model.model.multi_modal_projector.parameters(),
        *lens.parameters(),
        embeddings,
    ]
    optim = optimiser(parameters)
    first = run.restore("see", model, lens, optim)
    began = time.time()
    for step in range(first, run.see_steps):
        rng = np.random.default_rng([run.seed, 2, step])
        chosen = rng.integers(0, len(pixels), run.see_batch)
        tokens = model.model.multi_modal_projector(tower_features(model, normalise(pixels[chosen])))
        loss, accuracy = lens.loss(tokens, embeddings, torch.from_numpy(labels[chosen]))
        update(optim, parameters, loss, learning_rate(step, run.see_steps, run.see_rate))
        if step % 50 == 0 or step + 1 == run.see_steps:
            log(stage="see", step=step, loss=round(loss.item(), 3), seconds=round(time.time() - began),
                accuracy=[round(value, 3) for value in accuracy])  # fmt: skip
        if (step + 1) % 500 == 0 or step + 1 == run.see_steps:
            run.save("see", step + 1, model, lens, optim)


# -- 3. speaking -----------------------------------------------------------------------------------------------------


@torch.no_grad()
def precompute(model, pixels, batch=256):
    """Tower features of all pictures, in half precision to save memory."""
    parts = [tower_features(model, normalise(pixels[i : i + batch])).half() for i in range(0, len(pixels), batch)]
    return torch.cat(parts)


def learn_to_speak(run, model, lens, tasks, scenes, features, blank_feature, labels, evaluation):
    for parameter in model.model.vision_tower.parameters():
        parameter.requires_grad_(False)
    parameters = [p for p in model.parameters() if p.requires_grad] + list(lens.parameters())
    optim = optimiser(parameters)
    first = run.restore("speak", model, lens, optim)
    began, losses = time.time(), []
    for step in range(first, run.speak_steps):
        rng = np.random.default_rng([run.seed, 3, step])
        chosen = rng.integers(0, len(scenes), run.speak_batch)
        blank = torch.from_numpy(rng.random(len(chosen)) < 0.05)
        seen = features[chosen].float()
        seen[blank] = blank_feature
        tokens = model.model.multi_modal_projector(seen)
        loss = conversation_loss(model, tasks, [scenes[i] for i in chosen], tokens, blank.tolist(), rng)
        lens_labels = torch.from_numpy(labels[chosen])
        lens_labels[blank] = IGNORE
        lens_loss, _ = lens.loss(tokens, model.get_input_embeddings().weight, lens_labels)
        rate = learning_rate(step, run.speak_steps, run.speak_rate)
        update(optim, parameters, loss + 0.1 * lens_loss, rate)

        losses.append(loss.item())
        if step % 50 == 0:
            log(stage="speak", step=step, loss=round(float(np.mean(losses[-50:])), 4),
                seconds=round(time.time() - began))  # fmt: skip
        if (step + 1) % run.check_every == 0 or step + 1 == run.speak_steps:
            run.save("speak", step + 1, model, lens, optim)
            run.export(model)
            model.eval()
            outcomes, counts, captions = measure(model, run.processor, *evaluation)
            log(stage="check", step=step + 1, **summary(outcomes, counts), example=captions[0])
            model.train()


def conversation_loss(model, tasks: Tasks, scenes, tokens_BPD: torch.Tensor, blank: list[bool], rng) -> torch.Tensor:
    """Weighted cross entropy of the packed conversations of some scenes.

    Args:
        tokens_BPD: image tokens as the language model gets them.
        blank: the scenes whose picture shows nothing.
    """
    ids, targets, weights, positions, hidden, mask = tasks.batch(scenes, blank, rng)
    words = model.get_input_embeddings()(ids) * ~hidden[..., None]
    before, behind = words[:, : tasks.image_start], words[:, tasks.image_start + IMAGE_TOKENS :]
    states = model.model.language_model(
        inputs_embeds=torch.cat([before, tokens_BPD, behind], 1),
        attention_mask=mask,
        position_ids=positions,
        use_cache=False,
    ).last_hidden_state
    learnt = targets != IGNORE
    token_loss = F.cross_entropy(model.lm_head(states[learnt]), targets[learnt], reduction="none")
    return (token_loss * weights[learnt]).sum() / weights.sum()


# -- the run ---------------------------------------------------------------------------------------------------------


class Run:
    """The settings of a training run and its folder: checkpoints to go on from, and the exported model."""

    def __init__(self, arguments, tokenizer):
        self.__dict__.update(vars(arguments))
        self.out = Path(arguments.out)
        self.out.mkdir(parents=True, exist_ok=True)
        self.processor = build_processor(tokenizer)

    def save(self, stage, step, model, lens, optim):
        state = {"step": step, "model": model.state_dict(), "lens": lens.state_dict(), "optim": optim.state_dict()}
        torch.save(state, self.out / f"{stage}.tmp")
        os.replace(self.out / f"{stage}.tmp", self.out / f"{stage}.pt")

    def restore(self, stage, model, lens, optim):
        """Load the checkpoint of a stage if there is one; the step to go on with."""
        file = self.out / f"{stage}.pt"
        if not file.exists():
            return 0
        state = torch.load(file, weights_only=True)
        model.load_state_dict(state["model"])
        lens.load_state_dict(state["lens"])
        optim.load_state_dict(state["optim"])
        log(stage=stage, resumed=state["step"])
        return state["step"]

    def export(self, model):
        """Write the model folder in half precision; it appears under its name only when it is complete."""
        fresh, final = self.out / "model.tmp", self.out / "model"
        shutil.rmtree(fresh, ignore_errors=True)
        save_model(model, self.processor, fresh)
        shutil.rmtree(final, ignore_errors=True)
        fresh.rename(final)


def save_model(model, processor, folder):
    """Save model and processor in Hugging Face format, weights in float16 safetensors.

    The config keeps naming float32, so that the model is computed in float32 unless a user asks for another dtype:
    half precision is only for storage here.
    """
    # The output layer is the embedding itself (tied), so it is stored once.
    half = {name: value.half() for name, value in model.state_dict().items() if name != "lm_head.weight"}
    model.save_pretrained(folder, state_dict=half)
    processor.save_pretrained(folder)


def parse_arguments(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True, help="folder for checkpoints and the finished model (DIR/model)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--pool", type=int, default=24_000, help="number of rendered scenes")
    parser.add_argument("--see-steps", type=int, default=2400)
    parser.add_argument("--see-batch", type=int, default=48)
    parser.add_argument("--see-rate", type=float, default=1.5e-3)
    parser.add_argument("--speak-steps", type=int, default=1800)
    parser.add_argument("--speak-batch", type=int, default=32)
    parser.add_argument("--speak-rate", type=float, default=1.5e-3)
    parser.add_argument("--check-every", type=int, default=200)
    parser.add_argument("--check-scenes", type=int, default=64)
    return parser.parse_args(arguments)


def main(arguments=None):
    arguments = parse_arguments(arguments)
    torch.set_num_threads(arguments.threads)
    torch.set_flush_denormal(True)
    began = time.time()
    tokenizer = build_tokenizer()
    run = Run(arguments, tokenizer)
    model = build_model(tokenizer, seed=arguments.seed)
    lens = WordLens(tokenizer)
    log(parameters=sum(p.numel() for p in model.parameters()), settings=vars(arguments))

    scenes, pixels, labels = render_pool(arguments.pool, [arguments.seed, 1])
    log(stage="pool", seconds=round(time.time() - began))
    learn_to_see(run, model, lens, pixels, labels)

    features = precompute(model, pixels)
    with torch.no_grad():
        blank_feature = tower_features(model, torch.zeros(1, 3, NATIVE_SIZE, NATIVE_SIZE))[0]
    held_out, held_out_pixels, _ = render_pool(arguments.check_scenes, [arguments.seed, 4])
    evaluation = (held_out, [Image.fromarray(array) for array in held_out_pixels])
    del pixels
    learn_to_speak(run, model, lens, Tasks(tokenizer), scenes, features, blank_feature, labels, evaluation)
    run.export(model)
    log(stage="done", minutes=round((time.time() - began) / 60, 1))


if __name__ == "__main__":
    main()

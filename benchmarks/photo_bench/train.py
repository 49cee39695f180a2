"""Teach a captioner photographs: their captions, and that these fit no other photograph.

Kinds share this loop. It stops by the photographs of the fit split: the weights are kept that most often find a human
caption likelier behind its own photograph than behind another.
"""

from __future__ import annotations

import math
import os
import random
import time
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from data import Photo, of_split
from features import Features

# Tensor names carry their axes: B photographs, P cells of a picture, F features, D width, C captions, R photographs
# that a caption is tried on.


@dataclass
class Plan:
    steps: int = 450
    batch: int = 64
    check_every: int = 75
    contrast: float = 0.3  # weight of telling the own photograph from another
    seen: float = 0.02  # weight of reading words off image tokens
    smoothing: float = 0.05
    captions_per_photo: int = 1
    fit_photos: int = 1000  # at most
    fit_others: int = 8  # photographs that each human caption is tried on, besides its own: while learning,
    gate_others: int = 20  # and in the end
    annotated_share: float = 0.4  # of a batch at least, since the bench asks about annotated photographs


def rate(step: int, steps: int) -> float:
    """Linear warm-up, then half a cosine down to 3 %."""
    warm = min(100, steps // 10)
    if step < warm:
        return (step + 1) / warm
    return 0.03 + 0.97 * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


def draw(photos: list[Photo], plan: Plan, rng: random.Random) -> list[Photo]:
    annotated = [photo for photo in photos if photo.objects is not None]
    least = round(plan.annotated_share * plan.batch) if annotated else 0
    drawn = rng.choices(annotated, k=least) + rng.choices(photos, k=plan.batch - least)
    # Else photographs of one source would always be told from those of another, which is easy.
    return rng.sample(drawn, len(drawn))


def step_loss(captioner, features: Features, batch: list[Photo], plan: Plan, rng: random.Random):
    """What one step minimises: words of captions, words seen, and the own photograph against another."""
    tokens_BPD = captioner.tokens(features([photo.row for photo in batch], rng))
    captions = [rng.sample(photo.captions, min(plan.captions_per_photo, len(photo.captions))) for photo in batch]
    half = len(batch) // 2  # the second half lends the first its photographs
    said_C, loss_C = captioner.logprobs(
        torch.cat([tokens_BPD, tokens_BPD[half : 2 * half]]), captions + captions[:half], plan.smoothing
    )
    # The captions of the first half come once behind their own photographs, then behind others.
    own = sum(map(len, captions[:half]))
    total = len(loss_C) - own
    differs_C = torch.tensor(
        [one.row != other.row for one, other, texts in zip(batch, batch[half:], captions[:half], strict=False)
         for _ in texts]
    )  # fmt: skip
    loss = loss_C[:total].mean()
    contrast = F.softplus(said_C[total:] - said_C[:own])[differs_C].mean()
    seen = captioner.words_seen(tokens_BPD, batch) if plan.seen else torch.zeros(())
    return loss, contrast, seen


@torch.no_grad()
def own_photo(captioner, features: Features, photos: list[Photo], others: int, seed: int = 0) -> dict:
    """How often human captions are likelier behind their own photograph than behind others of the same list."""
    rng = random.Random(seed)
    pairs, wins, nats, count = 0, 0.0, 0.0, 0
    for photo in photos:
        rows = [photo.row, *(one.row for one in rng.sample([p for p in photos if p is not photo], others))]
        said_C, loss_C = captioner.logprobs(captioner.tokens(features(rows)), [photo.captions] * len(rows))
        said_CR, loss_CR = said_C.view(len(rows), -1).T, loss_C.view(len(rows), -1).T
        wins += (said_CR[:, :1] > said_CR[:, 1:]).sum().item()
        pairs += said_CR[:, 1:].numel()
        nats, count = nats + loss_CR[:, 0].sum().item(), count + len(said_CR)
    return {"own_photo": round(wins / pairs, 4), "nats_per_token": round(nats / count, 4), "captions": count}


class Run:
    """What a training run is made of, on disk: a run that was killed goes on from its last check."""

    def __init__(self, captioner, plan: Plan, folder: Path):
        self.captioner, self.plan, self.file = captioner, plan, folder / "state.pt"
        folder.mkdir(parents=True, exist_ok=True)
        self.learnt = {name: one for name, one in captioner.named_parameters() if one.requires_grad}
        groups = [{**group, "lr": 0.0} for group in captioner.groups()]
        self.optim = torch.optim.AdamW(groups, betas=(0.9, 0.98), weight_decay=0.05)
        self.step, self.best = 0, -1.0
        # The mean of the weights over the last steps errs less than the weights of any step.
        self.mean = self.copy()
        self.kept: dict[str, torch.Tensor] = {}
        if self.file.exists():
            state = torch.load(self.file, weights_only=True)
            self.step, self.best, self.mean, self.kept = (state[name] for name in ("step", "best", "mean", "kept"))
            self.put(state["learnt"])
            self.optim.load_state_dict(state["optim"])

    def copy(self) -> dict[str, torch.Tensor]:
        return {name: one.detach().clone() for name, one in self.learnt.items()}

    @torch.no_grad()
    def put(self, weights: dict[str, torch.Tensor]) -> None:
        for name, one in self.learnt.items():
            one.copy_(weights[name])

    @torch.no_grad()
    def update(self, loss: torch.Tensor, share: float) -> None:
        for group in self.optim.param_groups:
            group["lr"] = group["rate"] * share
        self.optim.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.learnt.values(), 1.0)
        self.optim.step()
        self.step += 1
        for name, one in self.learnt.items():
            self.mean[name].lerp_(one, max(0.02, 1 / self.step))

    def check(self, features: Features, fit: list[Photo]) -> dict:
        """Try the mean of the weights on the fit split, keep it if it is the best, and save all."""
        now = self.copy()
        self.put(self.mean)
        self.captioner.eval()
        with torch.autocast("cpu", torch.bfloat16):
            found = own_photo(self.captioner, features, fit, others=min(self.plan.fit_others, len(fit) - 1))
        self.captioner.train()
        self.put(now)
        if found["own_photo"] > self.best:
            self.best, self.kept = found["own_photo"], {name: one.clone() for name, one in self.mean.items()}
        state = {"step": self.step, "best": self.best, "mean": self.mean, "kept": self.kept, "learnt": now}
        torch.save(state | {"optim": self.optim.state_dict()}, self.file.with_suffix(".tmp"))
        os.replace(self.file.with_suffix(".tmp"), self.file)
        return found


def teach(captioner, features: Features, photos: list[Photo], plan: Plan, folder: Path, seed: int) -> None:
    """Train, going on from the last check if there was one, and leave the captioner with its best weights."""
    train, fit = of_split(photos, "train"), of_split(photos, "fit")[: plan.fit_photos]
    captioner.begin(features([photo.row for photo in train[:256]]))
    run = Run(captioner, plan, folder)
    captioner.train()
    began, losses = time.time(), []
    while run.step < plan.steps:
        # Everything random in a step hangs on the seed and the step, so that a run that goes on is the same run.
        rng = random.Random(f"{seed} {run.step}")
        torch.manual_seed(rng.getrandbits(48))
        with torch.autocast("cpu", torch.bfloat16):
            parts = step_loss(captioner, features, draw(train, plan, rng), plan, rng)
        run.update(parts[0] + plan.contrast * parts[1] + plan.seen * parts[2], rate(run.step, plan.steps))
        losses.append([part.item() for part in parts])
        if run.step % plan.check_every == 0 or run.step == plan.steps:
            means = [round(sum(column) / len(losses), 3) for column in zip(*losses, strict=True)]
            print(f"seed {seed} step {run.step} losses {means} fit {run.check(features, fit)} "
                  f"{time.time() - began:.0f} s", flush=True)  # fmt: skip
            losses = []
    run.put(run.kept)
    captioner.eval()

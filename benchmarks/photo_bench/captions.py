"""What a built captioner says about photographs it has not learnt from: one greedy caption and five sampled ones."""

from __future__ import annotations

import json
import os
from pathlib import Path

import torch
from data import Photo
from features import Features

SAMPLES = 5
BATCH = 32
# Plain sampling from so small a model writes little that is meant; these are common settings, chosen beforehand.
SAMPLING = {"do_sample": True, "temperature": 0.7, "top_p": 0.9}


@torch.inference_mode()
def write_captions(captioner, features: Features, photos: list[Photo], seed: int, file: Path) -> None:
    """Rows of JSON Lines as `copo score --input` and `copo eval chair --captions` take them."""
    torch.manual_seed(seed)
    rows = []
    for start in range(0, len(photos), BATCH):
        batch = photos[start : start + BATCH]
        features_BPF = features([photo.row for photo in batch])
        greedy = captioner.write(features_BPF, do_sample=False)
        sampled = captioner.write(features_BPF.repeat_interleave(SAMPLES, 0), **SAMPLING)
        for index, photo in enumerate(batch):
            said = [greedy[index], *sampled[index * SAMPLES : (index + 1) * SAMPLES]]
            rows += [
                {"image": photo.path, "caption": caption, "id": f"{photo.id}.{number}", "image_id": photo.id,
                 "sampled": number > 0, "split": photo.split, "seed": seed}
                for number, caption in enumerate(said)
            ]  # fmt: skip
    unfinished = file.with_suffix(".tmp")
    unfinished.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    os.replace(unfinished, file)


def write_objects(photos: list[Photo], file: Path) -> None:
    """Which objects the photographs show: for `copo eval chair --objects`."""
    file.write_text(json.dumps({str(photo.id): photo.objects for photo in photos}), "utf-8")

"""What the frozen tower sees in every photograph, computed once and kept on disk in half precision.

Each photograph has several views: as it is, mirrored, and cut to a random part of it, plain and mirrored by turns.
"""

from __future__ import annotations

import json
import os
import random
from pathlib import Path

import numpy as np
import torch
from data import Photo
from parts import image_processor
from PIL import Image, ImageOps
from torch import nn

SHARD = 64  # photographs per file; a run that is killed loses no more


def views(picture: Image.Image, count: int, seed: int) -> list[Image.Image]:
    rng = random.Random(seed)
    found = [picture, ImageOps.mirror(picture)][:count]
    while len(found) < count:
        share = rng.uniform(0.75, 1.0)
        width, height = round(picture.width * share), round(picture.height * share)
        left, top = rng.randint(0, picture.width - width), rng.randint(0, picture.height - height)
        part = picture.crop((left, top, left + width, top + height))
        found.append(ImageOps.mirror(part) if len(found) % 2 else part)
    return found


class Features:
    """Tower features, shape (views, cells, width) per photograph, read from disk as they are asked for."""

    def __init__(self, folder: Path, photos: list[Photo], tower: nn.Module, count: int):
        folder.mkdir(parents=True, exist_ok=True)
        listing = json.dumps([count, [photo.path for photo in photos]])
        names = folder / "photos.json"
        if names.exists() and names.read_text("utf-8") != listing:
            raise SystemExit(f"{folder} holds features of other photographs or views; choose another --out.")
        names.write_text(listing, "utf-8")
        self.files, process = [], image_processor()
        for start in range(0, len(photos), SHARD):
            file = folder / f"{start // SHARD:05}.npy"
            if not file.exists():
                found = [self.see(tower, process, photo, count) for photo in photos[start : start + SHARD]]
                unfinished = file.with_suffix(".tmp.npy")
                np.save(unfinished, np.stack(found))
                os.replace(unfinished, file)
                print(f"features {start + len(found)} of {len(photos)}", flush=True)
            self.files.append(np.load(file, mmap_mode="r"))

    @staticmethod
    @torch.inference_mode()
    def see(tower: nn.Module, process, photo: Photo, count: int) -> np.ndarray:
        with Image.open(photo.path) as picture:
            pictures = views(picture.convert("RGB"), count, photo.row)
        pixels_VCHW = process(pictures, return_tensors="pt")["pixel_values"]
        map_VDHW = tower(pixels_VCHW).last_hidden_state
        return map_VDHW.flatten(2).transpose(1, 2).half().numpy()

    def __call__(self, rows: list[int], rng: random.Random | None = None) -> torch.Tensor:
        """Features of photographs, shape (photographs, cells, width): as they are, or of views drawn by `rng`."""
        drawn = []
        for row in rows:
            shard = self.files[row // SHARD]
            view = rng.randrange(shard.shape[1]) if rng else 0
            drawn.append(torch.from_numpy(shard[row % SHARD, view].astype(np.float32)))
        return torch.stack(drawn)

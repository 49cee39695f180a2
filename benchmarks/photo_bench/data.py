"""Photographs of a folder in COCO's layout, with captions, objects and a split.

instances*.json, captions*.json   annotations in COCO's format, anywhere under the folder
*.jsonl                           more captions, without objects: {"image": PATH, "captions": [...]} a row
*.jpg, *.jpeg, *.png              anywhere under the folder; annotations name them by `file_name`
"""

from __future__ import annotations

import json
import random
import re
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

PICTURES = {".jpg", ".jpeg", ".png"}


@dataclass
class Photo:
    path: str
    id: int | str
    captions: list[str]
    objects: list[str] | None  # None: nobody annotated them
    split: str = "train"
    row: int = field(default=-1)  # where the features of this photograph are


def words(caption: str) -> list[str]:
    return re.findall(r"[a-z]+(?:'[a-z]+)?", caption.lower())


def read(folder: Path, pattern: str) -> list[dict]:
    return [json.loads(file.read_text("utf-8")) for file in sorted(folder.rglob(pattern))]


def load_photos(folder: Path, test: int, fit: int, at_most: int, seed: int = 0) -> list[Photo]:
    """Photographs in a fixed order. The split is by photograph and the same for all seeds of the captioners.

    Args:
        test: annotated photographs to test on, those without captions first since nothing can be learnt from them. An
            eighth of the photographs that have captions alone is kept for testing too.
        fit: photographs to stop training by, half of them annotated if there are so many.
        at_most: photographs to train on.
    """
    files = {path.name: path for path in sorted(folder.rglob("*")) if path.suffix.lower() in PICTURES}
    captions, objects = defaultdict(list), defaultdict(set)
    described, names = {}, {}
    for coco in [*read(folder, "instances*.json"), *read(folder, "captions*.json")]:
        described |= {image["id"]: image["file_name"] for image in coco["images"]}
        names |= {kind["id"]: kind["name"] for kind in coco.get("categories", [])}
        for one in coco["annotations"]:
            if "caption" in one:
                captions[one["image_id"]].append(one["caption"].strip())
            else:
                objects[one["image_id"]].add(names[one["category_id"]])
    rng = random.Random(seed)
    annotated = [
        Photo(str(files[name]), key, captions[key], sorted(objects[key]))
        for key, name in sorted(described.items())
        if name in files and objects[key]
    ]
    rng.shuffle(annotated)
    annotated.sort(key=lambda photo: bool(photo.captions))
    others = [
        Photo(str(folder / row["image"]), Path(row["image"]).stem, row["captions"], None)
        for file in sorted(folder.rglob("*.jsonl"))
        for row in map(json.loads, file.read_text("utf-8").splitlines())
    ]
    rng.shuffle(others)
    held, rest = annotated[:test], annotated[test:]
    others_held, others = others[: len(others) // 8], others[len(others) // 8 :]
    fit_coco = min(fit // 2, len(rest) // 5)
    fitted = rest[:fit_coco] + others[: fit - fit_coco]
    train = (rest[fit_coco:] + others[fit - fit_coco :])[:at_most]
    for split, photos in (("test", held + others_held), ("fit", fitted), ("train", train)):
        for photo in photos:
            photo.split = split
    photos = [photo for photo in [*held, *others_held, *fitted, *train] if photo.split == "test" or photo.captions]
    for row, photo in enumerate(photos):
        photo.row = row
    return photos


def of_split(photos: list[Photo], split: str) -> list[Photo]:
    return [photo for photo in photos if photo.split == split]

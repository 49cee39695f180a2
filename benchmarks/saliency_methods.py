"""Which map finds the object that a word names? The evidence behind the defaults of `saliency`.

Scenes the bundled model has not seen, each with its true caption; for every object word a map, held against the mask of
the object. Pointing game: the map is scaled to the picture (--interpolation), and its highest value has to lie

    mask     on the object's silhouette
    near     within 2 pixels of it (2 % of the picture's side)
    tokens   within the 3 x 3 image tokens that show the object

"background" is a density ratio: the share of the map's magnitude that lies outside the mask, over the share of the area
that does (1 is uniform, lower is better).

    python benchmarks/saliency_methods.py                                      # 300 scenes, and 40 for the variants
    python benchmarks/saliency_methods.py --scenes 300 --variant-scenes 0      # the methods as they are by default
"""

from __future__ import annotations

import argparse
import json
import time
import warnings

import numpy as np
import pandas as pd
import torch
from PIL import Image
from scipy.ndimage import distance_transform_edt
from scipy.stats import binomtest

import causal_attrib
from causal_attrib import scenes
from causal_attrib.scores.saliency_methods import saliency
from causal_attrib.scores.saliency_methods.geometry import smoothed

# Scenes the bundled model has never seen: training uses small seeds.
SEED = 20_261_121
SIDE = scenes.NATIVE_SIZE
CELL = SIDE // 8
INTERPOLATION = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}

BY_DEFAULT = [
    {"method": "gradient"},
    {"method": "gradient_x_input"},
    {"method": "integrated_gradients"},
    {"method": "occlusion"},
]
VARIANTS = [
    {"method": "gradient", "level": "pixel"},
    {"method": "gradient", "level": "pixel", "reduce": "sum"},
    {"method": "gradient_x_input", "level": "pixel"},
    {"method": "gradient_x_input", "reduce": "norm"},
    {"method": "smoothgrad"},
    {"method": "smoothgrad", "level": "pixel"},
    {"method": "integrated_gradients", "baseline": "blur"},
    {"method": "integrated_gradients", "baseline": "mean"},
    {"method": "integrated_gradients", "level": "pixel"},
    {"method": "integrated_gradients", "level": "pixel", "baseline": "blur"},
    {"method": "occlusion", "regions": "window:3"},
    {"method": "occlusion", "regions": "window:3", "baseline": "neutral"},
    {"method": "occlusion", "regions": "window:3", "baseline": "mean"},
    {"method": "occlusion", "regions": "window:3", "baseline": "swap"},
    {"method": "occlusion", "regions": "window:3", "level": "embedding"},
    {"method": "occlusion", "regions": "window:3", "level": "embedding", "baseline": "mean"},
    {"method": "occlusion", "regions": "window:2"},
    {"method": "occlusion", "regions": "window:4"},
    {"method": "occlusion", "regions": "patch"},
    {"method": "occlusion", "regions": "patch", "baseline": "neutral"},
    {"method": "regions"},
    {"method": "attention"},
]
SIGNED = {"gradient": False, "smoothgrad": False, "attention": False} | dict.fromkeys(
    ("gradient_x_input", "integrated_gradients", "occlusion", "regions"), True
)
# Widths of the Gaussian that pixel maps are tried with, as shares of their side.
SMOOTHING = (0.0, 0.02, 0.04, 0.08)


def readings(variant: dict, map_HW: np.ndarray):
    """The ways of reading one map: signed and by magnitude, and for pixels with and without smoothing."""
    widths = SMOOTHING if variant.get("level") == "pixel" else (0.0,)
    for width in widths:
        smooth_HW = smoothed(map_HW, width)
        name = f", smooth {width:g}" if len(widths) > 1 else ""
        yield name, smooth_HW
        if SIGNED[variant["method"]] and variant.get("reduce") != "norm":
            yield f"{name}, magnitude", np.abs(smooth_HW)


def judged(map_HW: np.ndarray, mask: np.ndarray, sticker, how: str = "bilinear") -> dict:
    """Where the highest value of a map lies, and how much of it lies outside the mask."""
    sized = np.asarray(Image.fromarray(map_HW.astype(np.float32)).resize((SIDE, SIDE), INTERPOLATION[how]))
    rows, columns = np.nonzero(sized == sized.max())
    y, x = round(rows.mean()), round(columns.mean())
    away = distance_transform_edt(~mask)[y, x]
    magnitude = np.abs(sized)
    outside = magnitude[~mask].sum() / magnitude.sum() if magnitude.any() else (~mask).mean()
    return {
        "mask": away == 0,
        "near": away <= 2,
        "tokens": sticker.x * CELL <= x < (sticker.x + sticker.size) * CELL
        and sticker.y * CELL <= y < (sticker.y + sticker.size) * CELL,
        "background": outside / (~mask).mean(),
    }


def rows_of(vlm, variant: dict, count: int, how: str, seed: int = SEED) -> list[dict]:
    rng = np.random.default_rng(seed)
    rows, before = [], scenes.render(scenes.PARK)[0]
    for number in range(count):
        scene = scenes.sample_scene(rng)
        picture, masks = scenes.render(scene)
        names = [sticker.cls for sticker in scene.objects]
        began = time.process_time()
        asked = {"model": vlm, "words": names, "smooth": 0.0, "other": before, **variant}
        maps = saliency(picture, scenes.caption(scene), **asked)
        seconds = (time.process_time() - began) / len(names)
        for sticker, mask in zip(scene.objects, masks, strict=True):
            for name, map_HW in readings(variant, maps[sticker.cls].values_THW[0].astype(float)):
                rows.append({"scene": number, "reading": name, "seconds": seconds} | judged(map_HW, mask, sticker, how))
        before = picture
    return rows


def bounds(count: int, seed: int = SEED) -> list[dict]:
    """What pointing at the object's own centre scores, and at the picture's: image tokens in full, and chance."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(count):
        scene = scenes.sample_scene(rng)
        for sticker, mask in zip(scene.objects, scenes.render(scene)[1], strict=True):
            centre_HW = np.zeros((8, 8))
            centre_HW[int(sticker.y) + 1, int(sticker.x) + 1] = 1
            for name, map_HW in (
                ("object's centre", centre_HW),
                ("picture's centre", np.eye(3)[1] * np.eye(3)[:, 1:2]),
            ):
                rows.append({"scene": number, "reading": name, "seconds": 0.0} | judged(map_HW, mask, sticker))
    return rows


def title(variant: dict) -> str:
    return variant["method"] + "".join(f", {value}" for name, value in variant.items() if name != "method")


def summary(variant: dict, rows: list[dict]) -> list[dict]:
    results = []
    for name, group in pd.DataFrame(rows).groupby("reading", sort=False):
        hits = int(group["mask"].sum())
        interval = binomtest(hits, len(group)).proportion_ci(method="wilson")
        results.append(
            {"map": title(variant) + name, "mask": group["mask"].mean(), "low": interval.low, "high": interval.high}
            | {column: float(group[column].mean()) for column in ("near", "tokens", "background", "seconds")}
            | {"words": len(group), "scenes": group.scene.nunique()}
        )
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenes", type=int, default=300, help="scenes for the methods as they are by default")
    parser.add_argument("--variant-scenes", type=int, default=40, help="scenes for the variants")
    parser.add_argument("--only", default="", help="only maps whose name has this in it")
    parser.add_argument("--interpolation", choices=INTERPOLATION, default="bilinear")
    parser.add_argument("--json")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    # Pixel maps are known to miss part of the sum; that is not what is measured here.
    warnings.filterwarnings("ignore", message="Integrated gradients miss")
    models = {
        "sdpa": causal_attrib.load(device="cpu"),
        "eager": causal_attrib.load(device="cpu", attn_implementation="eager"),
    }
    results = summary({"method": "the "}, bounds(arguments.scenes)) if arguments.scenes else []
    for variants, count in ((BY_DEFAULT, arguments.scenes), (VARIANTS, arguments.variant_scenes)):
        for variant in variants if count else ():
            if arguments.only not in title(variant):
                continue
            vlm = models["eager" if variant["method"] == "attention" else "sdpa"]
            results += summary(variant, rows_of(vlm, variant, count, arguments.interpolation))
            print(f"{title(variant)}: {results[-1]['words']} words of {count} scenes", flush=True)
            if arguments.json:
                with open(arguments.json, "w") as file:
                    json.dump(results, file, indent=1)
    table = pd.DataFrame(results).sort_values("mask", ascending=False)
    print(table.to_string(index=False, float_format="{:.3f}".format))


if __name__ == "__main__":
    main()

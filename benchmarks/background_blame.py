"""Who is blamed for a hallucination whose cause is the background: single image tokens against whole regions.

A planted model (`python -m causal_attrib.scenes.plant --out DIR`) says that the partner of a place is there because the
place is. On scenes of that place without the partner it is asked for it; where it says yes, nothing but the background
can be the reason. What is explained is the log-odds of yes against no, in nats.

    truth          scenes rendered anew: the effect of the place (mean over the other places), and of all objects
    region swap    image tokens of the background, or those of the objects, for those of another scene on another place
    leave-one-out  each image token alone for that scene's: where its largest effect lies, and the positive mass

    python benchmarks/background_blame.py --model DIR/model
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from scipy.stats import binomtest

import causal_attrib
from causal_attrib.evaluation.background.shares import outside_mask
from causal_attrib.evaluation.background.swap import leave_one_out, region_swap
from causal_attrib.scenes import PLACES, render
from causal_attrib.scenes.shortcut import draw_trials, log_odds
from causal_attrib.vlm.layout import grid_boxes
from causal_attrib_cli.eval.common import table

RESULTS = Path(__file__).parent / "results" / "background_blame.json"
# Readings of a region's effect: how it is hidden, and where.
SWAPS = {
    "swap, image tokens": {"baseline": "swap"},
    "swap, pixels": {"baseline": "swap", "level": "region"},
    "mean, image tokens": {"baseline": "mean"},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="folder of a planted model")
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--seed", type=int, default=20_261_121)
    parser.add_argument("--out", type=Path, default=RESULTS)
    settings = parser.parse_args()
    torch.set_num_threads(1)
    began = time.process_time()
    vlm = causal_attrib.load(settings.model, device="cpu")
    trials = draw_trials(settings.trials, settings.seed)
    measured = []
    for number, trial in enumerate(trials):
        behind = trials[number + 1 :] + trials[:number]
        other = next(each.scenes["own_absent"] for each in behind if each.partner != trial.partner)
        if (found := blamed(vlm, trial, other)) is not None:
            measured.append(found)
    result = {
        "settings": {"model": Path(settings.model).name, "trials": settings.trials, "seed": settings.seed},
        "hallucinated": len(measured),
        **summary(measured),
        "cpu_seconds": round(time.process_time() - began, 1),
    }
    settings.out.parent.mkdir(parents=True, exist_ok=True)
    settings.out.write_text(json.dumps(result, indent=1) + "\n")
    show(result)


def blamed(vlm, trial, other_scene) -> dict | None:
    """All readings of one answer, (background, objects) in nats; None where the model does not hallucinate."""
    scene = trial.scenes["own_absent"]
    picture, masks = render(scene)
    places = [replace(scene, place=place) for place in PLACES if place != scene.place]
    versions = [scene, *places, replace(scene, objects=())]
    pictures = [render(version)[0] for version in versions]
    odds = log_odds(vlm.model, vlm.processor, pictures, [trial.question] * len(pictures))
    if odds[0] <= 0:
        return None
    asked = {"question": trial.question, "answer": "yes", "foil": "no"}
    mask_HW = masks.any(0)
    found = {"log_odds": float(odds[0]), "truth": (float(odds[0] - odds[1:-1].mean()), float(odds[0] - odds[-1]))}
    other, _ = render(other_scene)
    for name, how in SWAPS.items():
        swap = region_swap(vlm, picture, mask_HW, **asked, other=other, **how)
        found[name] = (swap.background, swap.object)
    effect_HW = leave_one_out(vlm, picture, **asked, other=other)
    outside_HW = outside_mask(grid_boxes(*effect_HW.shape), mask_HW).reshape(effect_HW.shape)
    positive_HW = effect_HW.clip(min=0)
    found["alone"] = {
        "largest": float(effect_HW.max()),
        "background_sum": float(effect_HW[outside_HW].sum()),
        "largest_in_background": bool(outside_HW.ravel()[effect_HW.argmax()]),
        "mass": float(positive_HW[outside_HW].sum() / positive_HW.sum()),
        "area": float(outside_HW.mean()),
    }
    return found


def summary(measured: list[dict]) -> dict:
    """Means over answers, and in how many of them the background is blamed, with 95 % Wilson intervals."""
    readings = {}
    for name in ("truth", *SWAPS):
        background_N, object_N = np.array([one[name] for one in measured]).T
        readings[name] = {
            "background": float(background_N.mean()),
            "objects": float(object_N.mean()),
            **share("background_above_objects", background_N > object_N),
        }
    alone = {key: np.array([one["alone"][key] for one in measured]) for key in measured[0]["alone"]}
    return {
        "log_odds": float(np.mean([one["log_odds"] for one in measured])),
        "readings": readings,
        "leave_one_out": {
            "largest_effect": float(alone["largest"].mean()),
            "background_sum": float(alone["background_sum"].mean()),
            **share("largest_in_background", alone["largest_in_background"]),
            **share("mass_above_area", alone["mass"] > alone["area"]),
            "background_mass": float(alone["mass"].mean()),
            "background_area": float(alone["area"].mean()),
        },
    }


def share(name: str, hits_N: np.ndarray) -> dict:
    found = binomtest(int(hits_N.sum()), len(hits_N))
    interval = found.proportion_ci(method="wilson")
    return {name: found.statistic, f"{name}_interval": [interval.low, interval.high]}


def show(result: dict) -> None:
    def told(of: dict, name: str) -> str:
        low, high = of[f"{name}_interval"]
        return f"{of[name]:.3f} [{low:.2f}, {high:.2f}]"

    console = Console(width=120)
    console.print(
        table(
            f"{result['hallucinated']} hallucinated answers, log-odds {result['log_odds']:.2f}; effects in nats",
            ("reading", "background", "objects", "background above objects"),
            (
                (name, f"{of['background']:.2f}", f"{of['objects']:.2f}", told(of, "background_above_objects"))
                for name, of in result["readings"].items()
            ),
        )
    )
    alone = result["leave_one_out"]
    console.print(
        table(
            "Leave-one-out: one image token at a time",
            ("", "value"),
            (
                ("largest effect of a token (nats)", f"{alone['largest_effect']:.2f}"),
                ("it lies in the background", told(alone, "largest_in_background")),
                ("sum over the background's tokens (nats)", f"{alone['background_sum']:.2f}"),
                ("background mass", f"{alone['background_mass']:.3f}"),
                ("share of the tokens that are background", f"{alone['background_area']:.3f}"),
                ("background mass above that share", told(alone, "mass_above_area")),
            ),
        )
    )


if __name__ == "__main__":
    main()

"""How well the bundled model knows its own world: python benchmarks/bundled_model.py

500 unseen scenes per sticker style, one table (Markdown) on standard output, 95 % intervals in brackets: Wilson's for
shares, bootstrap over scenes for F1. `--json FILE` writes every figure. docs/bundled-model.md holds the result.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy import stats
from transformers import AutoModelForImageTextToText, AutoProcessor

from causal_attrib.scenes import BUNDLED_MODEL, CAPTION_PROMPT, PARK, STYLES, caption, render, sample_scene
from causal_attrib.scenes.measure import measure, object_f1, reply

# Line of the table -> the outcomes it pools, and what it should reach.
LINES = {
    "caption: exactly the right objects": (["caption: objects exactly right"], 0.95),
    "caption: colours of named objects": (["caption: colour"], 0.95),
    "caption: place": (["caption: place"], 0.98),
    "caption: time": (["caption: time"], 0.98),
    "caption: every word right": (["caption: whole caption right"], None),
    "yes/no, balanced": (
        ["answer: object, present", "answer: object, random negative", "answer: object, co-occurring negative"],
        0.95,
    ),
    "yes/no, object present": (["answer: object, present"], None),
    "yes/no, random negatives": (["answer: object, random negative"], None),
    "yes/no, co-occurring negatives": (["answer: object, co-occurring negative"], None),
    "yes/no, colour of a present object": (["answer: pair"], None),
    "answer: colour": (["answer: colour"], 0.95),
    "answer: place": (["answer: place"], 0.98),
    "answer: time": (["answer: time"], 0.98),
    "answer: number of objects": (["answer: count"], None),
    "reasoned answers": (["reasoned answer"], 0.90),
    "does this caption describe the image? balanced": (["judged: true caption", "judged: false caption"], None),
    "  true captions": (["judged: true caption"], None),
    "  false captions": (["judged: false caption"], None),
    "  false class": (["judged: false class"], None),
    "  false colour": (["judged: false colour"], None),
    "  false place": (["judged: false place"], None),
    "  false time": (["judged: false time"], None),
}
F1, F1_BAR = "caption: object F1", 0.97


def unseen_scenes(count, style, seed):
    """Scenes that the training never drew: another stream of random numbers."""
    rng = np.random.default_rng([seed, 1_000_003, STYLES.index(style)])
    return [sample_scene(rng, style=style) for _ in range(count)]


def share(values):
    """Share of True with Wilson's 95 % interval."""
    interval = stats.binomtest(int(sum(values)), len(values)).proportion_ci(method="wilson")
    return {"value": float(np.mean(values)), "low": interval.low, "high": interval.high, "n": len(values)}


def f1_with_interval(counts, seed):
    """Object F1 with a bootstrap interval over scenes."""
    if (counts[:, 0] == counts[:, 1]).all() and (counts[:, 0] == counts[:, 2]).all():
        return {"value": 1.0, "low": 1.0, "high": 1.0, "n": len(counts)}
    interval = stats.bootstrap(
        tuple(counts.T),
        lambda right, named, there, axis=-1: 2 * right.sum(axis) / (named.sum(axis) + there.sum(axis)),
        paired=True,
        vectorized=True,
        n_resamples=2000,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return {"value": object_f1(counts), "low": float(interval.low), "high": float(interval.high), "n": len(counts)}


def cell(figure):
    return f"{100 * figure['value']:.1f} [{100 * figure['low']:.1f}, {100 * figure['high']:.1f}]"


def table(results):
    """Markdown: a line per figure, a column per style."""
    lines = ["| | aim | " + " | ".join(results) + " |", "|---|---|" + "---|" * len(results)]
    for name, bar in [(F1, F1_BAR), *((name, bar) for name, (_, bar) in LINES.items())]:
        aim = f"{100 * bar:.0f}" if bar else ""
        lines.append(f"| {name} | {aim} | " + " | ".join(cell(figures[name]) for figures in results.values()) + " |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=str(BUNDLED_MODEL))
    parser.add_argument("--scenes", type=int, default=500, help="scenes per style")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    processor = AutoProcessor.from_pretrained(arguments.model)
    model = AutoModelForImageTextToText.from_pretrained(arguments.model, dtype=torch.float32).eval()

    results, missed = {}, []
    for style in STYLES:
        began = time.time()
        scenes = unseen_scenes(arguments.scenes, style, arguments.seed)
        images = [render(scene)[0] for scene in scenes]
        outcomes, counts, _ = measure(model, processor, scenes, images, seed=arguments.seed)
        figures = {F1: f1_with_interval(counts, arguments.seed)}
        for name, (pooled, _) in LINES.items():
            figures[name] = share([value for key in pooled for value in outcomes[key]])
        bars = {F1: F1_BAR} | {name: bar for name, (_, bar) in LINES.items() if bar}
        missed += [f"{style}: {name}" for name, bar in bars.items() if figures[name]["value"] < bar]
        results[style] = figures
        print(f"{style}: {time.time() - began:.0f} s", file=sys.stderr)

    # The README's picture at 512 pixels, scaled down by the processor like any user's picture.
    park = Path(__file__).resolve().parent.parent / "examples" / "park.png"
    said = reply(model, processor, [Image.open(park).convert("RGB")], [[CAPTION_PROMPT]])[0]

    print(f"Per cent, {arguments.scenes} unseen scenes per style, 95 % intervals in brackets.\n")
    print(table(results))
    print(f"\nexamples/park.png: {said!r} ({'right' if said == caption(PARK) else 'wrong'})")
    print(f"Below the aim: {', '.join(missed) if missed else 'none'}")
    if arguments.json:
        record = {"model": arguments.model, "scenes": arguments.scenes, "seed": arguments.seed, "park": said}
        arguments.json.write_text(json.dumps(record | {"styles": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()

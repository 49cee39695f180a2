"""Gradient maps at the size of a real model on a GPU: python benchmarks/saliency_on_gpu.py [--json FILE]

LLaVA-1.5-7B from its config, random weights, bfloat16: the gradient of the log-probability of each of 32 tokens of a
caption, with respect to the pixels and to the image tokens. Three ways:

    a forward for each token    the loop that one writes first
    one forward                 a backward for each token: what `causal_attrib.saliency` does
    one forward, vectorised     all backwards at once (torch's is_grads_batched), which takes memory for all of them

Wall-clock seconds with the device's work waited for, the median of some repeats, and the memory at the peak over the
model's own.

    python benchmarks/saliency_on_gpu.py --size tiny --device cpu     # tries the script out
"""

import argparse
import json
import random

import torch
import transformers as tf
from engine_on_gpu import CAPTION, build, seconds

from causal_attrib.scenes import PARK, render
from causal_attrib.scores.saliency_methods.gradient import gradient
from causal_attrib.scores.saliency_methods.inputs import EmbeddingInput, PixelInput
from causal_attrib.scores.saliency_methods.reader import Reader, frozen
from causal_attrib.scores.saliency_methods.target import choose_target


def a_forward_for_each(given):
    found = []
    for m in range(CAPTION):
        value_1X = given.value_1X.detach().clone().requires_grad_()
        found += torch.autograd.grad(given.scores(value_1X)[0, m], value_1X)
    return found


def vectorised(given):
    value_1X = given.value_1X.detach().clone().requires_grad_()
    scores_M = given.scores(value_1X)[0]
    each_MM = torch.eye(len(scores_M), dtype=scores_M.dtype, device=scores_M.device)
    return torch.autograd.grad(scores_M, value_1X, each_MM, is_grads_batched=True)[0]


WAYS = {"a forward for each token": a_forward_for_each, "one forward": gradient, "one forward, vectorised": vectorised}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=["7b", "tiny"], default="7b")
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", metavar="FILE")
    arguments = parser.parse_args()
    tiny, on_gpu = arguments.size == "tiny", arguments.device.startswith("cuda")
    vlm = build(arguments.size, torch.float32 if tiny else torch.bfloat16, arguments.device)
    ids = vlm.tokenizer("a dog and a red frisbee on the grass", add_special_tokens=False)["input_ids"]
    draw = random.Random(0)
    picture, _ = render(PARK, size=56 if tiny else 336)
    encoding = vlm.encode(picture, None, [draw.choice(ids) for _ in range(CAPTION)])
    reader = Reader(vlm, encoding, choose_target(vlm, encoding, "token", None, None), batch_size=1)

    points = []
    with frozen(vlm.model):
        for level, given in (("pixel", PixelInput(reader)), ("embedding", EmbeddingInput(reader))):
            loop = torch.stack(a_forward_for_each(given)).flatten(1)
            for name, way in WAYS.items():
                if on_gpu:
                    before = torch.cuda.memory_allocated()
                    torch.cuda.reset_peak_memory_stats()
                taken = seconds(lambda way=way, given=given: way(given), arguments.device, arguments.repeats)
                gib = (torch.cuda.max_memory_allocated() - before) / 2**30 if on_gpu else None
                difference = (torch.stack(list(way(given))).flatten(1) - loop).norm() / loop.norm()
                points.append({"level": level, "way": name, "seconds": taken, "gib": gib, "off": float(difference)})
    device = torch.cuda.get_device_name() if on_gpu else "cpu"
    print(f"{device}, torch {torch.__version__}, transformers {tf.__version__}, {CAPTION} gradients\n")
    print("| with respect to | way | s | GiB over the model | off the loop by |")
    print("|---|---|---|---|---|")
    for point in points:
        gib = "-" if point["gib"] is None else f"{point['gib']:.1f}"
        print(f"| {point['level']} | {point['way']} | {point['seconds']:.2f} | {gib} | {point['off']:.0e} |")
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump({"device": device, "size": arguments.size, "points": points}, file, indent=1)


if __name__ == "__main__":
    main()

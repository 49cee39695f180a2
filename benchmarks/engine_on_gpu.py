"""The packed engine at the size of a real model on a GPU: python benchmarks/engine_on_gpu.py [--json FILE]

LLaVA-1.5-7B from its config, random weights, bfloat16, a prompt of 600 tokens (576 of the picture), a caption of 32,
H = 8 completions of 32 tokens (on average) behind each of 33 prefixes. Wall-clock seconds with the device's work waited
for, the median of some repeats: one forward, necessity and early answers, sampled sufficiency; for one caption, for 16
captions of 16 pictures (together and one by one), and for 16 captions of one picture. Beside them tokens a second and
the share of the rate that matrix products of a decoder layer's shape reach on this machine in this process.

    python benchmarks/engine_on_gpu.py --size tiny --device cpu     # tries the script out
"""

import argparse
import json
import random
import statistics
import time

import torch
import transformers as tf
from real_size import llava, random_model

from causal_attrib.engine import Job, PackedEngine, base
from causal_attrib.engine.budget import pictures_at_once
from causal_attrib.outcomes import Likelihood
from causal_attrib.scenes import PARK, render
from causal_attrib.scores import necessity, sufficiency
from causal_attrib.vlm import VLM, Continuation

PROMPT, CAPTION, SAMPLES, NEW, BATCH = 600, 32, 8, 32, 16
# Completions of all prefixes together then have as many tokens as if each had NEW.
base.SLACK = NEW - CAPTION // 2


def build(size, dtype, device):
    model, processor = random_model(llava, size, dtype, device)
    model.generation_config.eos_token_id = None
    return VLM(model, processor, name="llava")


def encode(vlm, size, count):
    """`count` captions of CAPTION tokens, each of a picture of its own, with a question behind."""
    ids = vlm.tokenizer("a dog and a red frisbee on the grass", add_special_tokens=False)["input_ids"]
    draw = random.Random(0)
    encodings = []
    for number in range(count):
        picture, _ = render(PARK, size=336 + number if size == "7b" else 56 + number)
        text = "a " * (PROMPT - 590) if size == "7b" else "a"
        caption = [draw.choice(ids) for _ in range(CAPTION)]
        encodings.append(vlm.encode(picture, text, caption, "dog", question="Sure?"))
    return encodings


def seconds(run, device, repeats):
    times = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        run()
        if device.startswith("cuda"):
            torch.cuda.synchronize()
        times.append(time.perf_counter() - began)
    return statistics.median(times[1:])  # the first compiles and allocates


def rate(vlm, device):
    """Operations a second of matrix products with a decoder layer's weights and 1024 rows."""
    layer = vlm.model.model.language_model.layers[0]
    weights = [part.weight for part in layer.modules() if isinstance(part, torch.nn.Linear)]
    inputs = [torch.randn(1024, w.shape[1], device=device, dtype=w.dtype) for w in weights]

    def run():
        for _ in range(20):
            for weight, rows in zip(weights, inputs, strict=True):
                torch.nn.functional.linear(rows, weight)

    return 2 * 1024 * 20 * sum(w.numel() for w in weights) / seconds(run, device, 5)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=["7b", "tiny"], default="7b")
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", metavar="FILE")
    asked = parser.parse_args()
    vlm = build(asked.size, torch.bfloat16, asked.device)
    encodings = encode(vlm, asked.size, BATCH)
    one = encodings[0]
    shared = [vlm.encode(one.picture, one.prompt, e.response_ids, one.answer, question=one.question) for e in encodings]
    units = one.units("token")
    scores, prefixes = sufficiency.plan(units) + necessity.plan(units), sufficiency.plan(units)
    positions = {}

    def packed(name, some, plan, samples):
        def run():
            engine = PackedEngine(vlm, pictures=1 if "one by one" in name else pictures_at_once(vlm))
            engine.run_jobs([Job(e, plan, Likelihood()) for e in some], samples=samples)
            positions[name] = engine.cost.positions

        return run

    answer = Continuation(one.response_ids + one.cue_ids + one.answer_ids)
    ways = {
        "one forward": lambda: vlm.read(one, [answer]),
        "necessity and early answers, 1 caption": packed("necessity and early answers, 1 caption", [one], scores, 0),
        "the same, 16 pictures": packed("the same, 16 pictures", encodings, scores, 0),
        "the same, 16 pictures, one by one": packed("the same, 16 pictures, one by one", encodings, scores, 0),
        "the same, 16 captions of a picture": packed("the same, 16 captions of a picture", shared, scores, 0),
        "sampled, 1 caption": packed("sampled, 1 caption", [one], prefixes, SAMPLES),
        "sampled, 16 pictures": packed("sampled, 16 pictures", encodings, prefixes, SAMPLES),
        "sampled, 16 pictures, one by one": packed("sampled, 16 pictures, one by one", encodings, prefixes, SAMPLES),
    }
    positions["one forward"] = one.prompt_length + len(answer.ids)
    text = vlm.model.model.language_model
    per_token = 2 * sum(p.weight.numel() for p in text.modules() if isinstance(p, torch.nn.Linear))
    peak = rate(vlm, asked.device)
    what = torch.cuda.get_device_name() if asked.device.startswith("cuda") else "CPU"
    print(f"{what}, torch {torch.__version__}, transformers {tf.__version__}; P = {one.prompt_length}, T = {CAPTION}, ")
    print(f"H = {SAMPLES}, N = {NEW}; matrix products: {peak / 1e12:.1f} TFLOP/s\n")
    print("| work | s a caption | tokens/s | share of the rate of matrix products | x one forward |")
    print("|---|---|---|---|---|")
    results, forward = {"rate": peak}, None
    for name, run in ways.items():
        captions = BATCH if "16" in name else 1
        taken = seconds(run, asked.device, asked.repeats)
        forward = forward or taken
        tokens = positions[name] / taken
        share = tokens * per_token / peak
        results[name] = {"seconds": taken / captions, "tokens_per_second": tokens, "share": share}
        print(f"| {name} | {taken / captions:.3f} | {tokens:,.0f} | {share:.2f} | {taken / captions / forward:.2f} |")
    if asked.json:
        with open(asked.json, "w") as file:
            json.dump(results, file, indent=1)


if __name__ == "__main__":
    main()

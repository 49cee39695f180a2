"""How fast is the engine, and how fast could it be? python benchmarks/engine [--quick] [--json FILE]

Three jobs on LLaVA and Qwen2-VL with random weights (hidden 512, 8 layers, prompt of about 600 tokens, caption of 24
tokens, answer of 4), every way of doing a job side by side in one process, on one thread, in CPU time:

* scores:  necessity and early answers, 1 + T + T edited responses;
* peers:   the part of it that captum can do (`peers.py`), and ours on the same part;
* sampled: sufficiency with H = 8 sampled completions of 16 tokens (on average) behind each of T + 1 prefixes.

A way of doing a job is first held against the one at the top of the table; where the numbers differ it is reported as
wrong and not timed. The floor is the time that the multiply-adds take that no exact algorithm can leave out, at the
rate of matrix products that this process reaches on this machine (`Floor`). Peak memory is that of a fresh process for
each way, over what it holds before it begins. Markdown on standard output; `--json FILE` writes every figure.

    python benchmarks/engine                         # about an hour on one core
    python benchmarks/engine --quick                 # under two minutes: LLaVA alone, naive loops in part
    python benchmarks/engine --only peers            # llava, qwen2_vl; scores, peers, sampled, memory, growth

inseq is not among them: it takes no picture (inseq 0.7.1).
"""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Sequence
from pathlib import Path

import torch
import transformers as tf
from floor import Floor, gemm_rate
from growth import growth
from jobs import sampled_ways, scores_ways
from memory import memory, memory_here
from models import CAPTION, MODELS, PROMPT, SAMPLES, build, encode
from peers import peer_jobs
from report import aims, number, show_growth, show_ways, table
from ways import measure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="LLaVA alone, naive loops in part, one round")
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--only", nargs="+", choices=["scores", "peers", "sampled", "memory", "growth"])
    parser.add_argument("--models", nargs="+", choices=list(MODELS))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--memory-of", metavar="WAY", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    names = asked.models or (["llava"] if asked.quick else list(MODELS))
    if asked.memory_of:
        memory_here(names[0], asked.memory_of)
        return
    tf.logging.set_verbosity_error()
    parts = asked.only or ["scores", "peers", "sampled", "memory", "growth"]
    repeats, patience = (1, 0.0) if asked.quick else (asked.repeats, 60.0)

    machine = {
        "processor": _processor(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": tf.__version__,
        "threads": torch.get_num_threads(),
        "gemm_flops": {str(rows): gemm_rate(rows) for rows in (PROMPT, SAMPLES * (CAPTION + 1))},
    }
    results = {"machine": machine, "quick": asked.quick, "models": {}}
    rates = ", ".join(f"{rate / 1e9:.0f} GFLOP/s with {rows} rows" for rows, rate in machine["gemm_flops"].items())
    print(f"{machine['processor']}, one thread, torch {torch.__version__}, transformers {tf.__version__}; {rates}\n")
    with torch.no_grad():
        for name in names:
            results["models"][name] = of_model(name, parts, asked.quick, repeats, max(patience, 1e-9))
        if "growth" in parts:
            results["growth"] = growth(asked.quick)
            show_growth(results["growth"])
    results["aims"] = aims(results)
    if results["aims"]:
        print("## Aims\n")
        said = {True: "reached", False: "MISSED", None: "not measured"}
        rows = [[a["aim"], f"{a['limit']:g}", number(a["measured"]), said[a["reached"]]] for a in results["aims"]]
        table(["aim", "limit", "measured", ""], rows)
    if asked.json:
        Path(asked.json).write_text(json.dumps(results, indent=1) + "\n")


def of_model(name: str, parts: Sequence[str], quick: bool, repeats: int, patience: float) -> dict:
    """Every job asked for on one model."""
    vlm = build(name)
    encoding = encode(vlm)
    floor = Floor(vlm, encoding)
    sizes = {
        "prompt": encoding.prompt_length,
        "image_tokens": len(encoding.image_positions),
        "caption": len(encoding.response_ids),
        "cue": len(encoding.cue_ids),
        "answer": len(encoding.answer_ids),
        "parameters": vlm.model.num_parameters(),
        "forward_flops": floor.forward(),
        "vision_flops": floor.vision,
    }
    print(
        f"## {name}\n\n{sizes['parameters'] / 1e6:.0f} M parameters; P = {sizes['prompt']} ({sizes['image_tokens']} of "
        f"the image), T = {sizes['caption']}, cue {sizes['cue']}, A = {sizes['answer']}; one forward is "
        f"{sizes['forward_flops'] / 1e9:.0f} GFLOP, {sizes['vision_flops'] / 1e9:.0f} of them vision.\n"
    )
    result: dict = {"sizes": sizes}
    if "scores" in parts:
        ways = scores_ways(vlm, encoding, quick)
        measure(ways, repeats, patience)
        seconds = floor.scores() / gemm_rate(PROMPT)
        result["scores"] = show_ways("Necessity and early answers", ways, seconds) | {"flops": floor.scores()}
    if "peers" in parts:
        result["peers"] = []
        for title, ways in peer_jobs(vlm, encoding, quick):
            measure(ways, 1, patience)
            result["peers"].append({"job": title} | show_ways(title, ways, None))
    if "sampled" in parts:
        ways = sampled_ways(vlm, encoding, quick)
        measure(ways, 1 if quick else 2, patience)
        seconds = floor.sampled() / gemm_rate(SAMPLES * (CAPTION + 1))
        drawing = floor.sampled(judged=False) / gemm_rate(SAMPLES * (CAPTION + 1))
        result["sampled"] = show_ways(
            f"Sampled sufficiency, H = {SAMPLES}; engines judge completions too (floor of drawing {drawing:.2f} s)",
            ways,
            seconds,
        ) | {"flops": floor.sampled(), "floor_drawing": drawing}
    if "memory" in parts:
        result["memory"] = memory(name)
        one = result["memory"]["one forward"]
        print("### Peak memory over the model's own\n")
        rows = [
            [way, number(grown, ".0f"), number(grown / one if grown and one else None)]
            for way, grown in result["memory"].items()
        ]
        table(["way", "MiB", "x one forward"], rows)
    return result


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


if __name__ == "__main__":
    main()

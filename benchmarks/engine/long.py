"""How time and memory grow with the length of an answer: python benchmarks/engine/long.py [--into FILE] [--only ROW ..]

LLaVA with random weights as in `benchmarks/engine`, a prompt of 600 tokens, an answer of T tokens in sentences of 20,
outcome likelihood. Ways: one ordinary `forward`; `token`, every token hidden and every prefix kept; `auto`, sentences
first. With random weights nothing matters, so that here every part is worth opening and `auto` costs as much as it can.
Each row runs in a process of its own, in CPU seconds of one thread; the rate of matrix products is measured beside it,
before and after. Memory is the peak over what the process held before, of a malloc that gives back what is freed (see
`memory.py`). A line of JSON per row.

    python benchmarks/engine/long.py --into FILE           # about half an hour on one core; goes on where it ended
    python benchmarks/engine/long.py --only token:128 auto:1024
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import torch
from floor import gemm_rate
from memory import GIVES_BACK, _peak
from models import PROMPT, WORDS, build, encode

from causal_attrib.engine import PackedEngine
from causal_attrib.scores import refinement
from causal_attrib.scores.caption_task import make_task, run_tasks
from causal_attrib.scores.settings import Settings
from causal_attrib.vlm import Continuation

ROWS = [
    *(f"forward:{T}" for T in (128, 1024)),
    *(f"auto:{T}" for T in (128, 256, 512, 1024, 2048)),
    *(f"token:{T}" for T in (128, 256, 512, 1024)),
]
QUESTION, ANSWER, SENTENCE = "Sure?", "dog on the grass", 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", metavar="WAY:T", default=ROWS)
    parser.add_argument("--into", metavar="FILE", help="add a line per row to FILE, and leave out those in it")
    parser.add_argument("--here", metavar="WAY:T", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.here:
        here(*asked.here.split(":"))
        return
    file = None if asked.into is None else Path(asked.into)
    before = [json.loads(line) for line in file.read_text().splitlines()] if file is not None and file.exists() else []
    there = {f"{record['way']}:{record['T']}" for record in before}
    for row in asked.only:
        if row in there:
            continue
        command = [sys.executable, __file__, "--here", row]
        done = subprocess.run(command, check=True, env=os.environ | GIVES_BACK, stdout=subprocess.PIPE, text=True)
        # Beside the row stands what libraries print.
        (told,) = [line for line in done.stdout.splitlines() if line.startswith("{")]
        print(told, flush=True)
        if file is not None:
            with file.open("a") as lines:
                lines.write(told + "\n")


@torch.no_grad()
def here(way: str, length: str) -> None:
    torch.set_num_threads(1)
    T = int(length)
    vlm = build("llava")
    short = encode(vlm)
    (stop,) = vlm.tokenizer(".", add_special_tokens=False)["input_ids"]
    words = [vlm.tokenizer(f" {word}", add_special_tokens=False)["input_ids"][0] for word in WORDS]
    ids = tuple(stop if t % SENTENCE == SENTENCE - 1 else words[t % len(words)] for t in range(T))
    asked = {"prompt": short.prompt, "question": QUESTION, "answer": ANSWER}
    refinement.NOTHING_NATS = refinement.NOTHING = 0.0
    sys.modules[make_task.__module__].NOTHING_NATS = -1.0
    settings = Settings(level="auto" if way == "auto" else "token", outcome="likelihood")
    task = make_task(vlm, settings, short.picture, ids, **asked)
    engine = PackedEngine(vlm)
    engine.scan(short)
    rates = [gemm_rate(PROMPT)]
    engine = PackedEngine(vlm)
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    before, began = _peak(), time.process_time()
    told: dict[str, object] = {}
    if way == "forward":
        vlm.read(task.encoding, [Continuation(ids)])
    else:
        (scored,) = run_tasks(engine, [task])
        told = {
            "positions": scored.cost["positions"],
            "forwards": scored.cost["forwards"],
            "scored": sum(token.necessity is not None for token in scored),
            "rounds": (scored.refinement or {}).get("rounds"),
        }
    seconds, peak = time.process_time() - began, _peak() - before
    rates.append(gemm_rate(PROMPT))
    record = {"way": way, "T": T, "seconds": round(seconds, 2), "MiB": round(peak / 1024)} | told
    print(json.dumps(record | {"gflops": [round(rate / 1e9) for rate in rates]}), flush=True)


if __name__ == "__main__":
    main()

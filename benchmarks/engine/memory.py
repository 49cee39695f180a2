"""Peak memory of each way, in a process of its own."""

from __future__ import annotations

import ctypes
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import torch
from by_hand import by_hand, generate
from models import SAMPLES, build, encode, plans
from ours import ours, ours_sampled

from causal_attrib.engine import PackedEngine, PlainEngine

# What is freed is given back. glibc's malloc would hold on to blocks, more of them the larger blocks were before, and
# the same forward then takes 60 MiB once and 105 the next time.
GIVES_BACK = {"MALLOC_MMAP_THRESHOLD_": str(2**21), "MALLOC_TRIM_THRESHOLD_": str(2**24)}
REMEMBERED = {
    "one forward": lambda vlm, encoding: by_hand(vlm, encoding, only=[0]),
    "scores, by hand, vision once": lambda vlm, encoding: by_hand(vlm, encoding, cached=True, only=[0, 1]),
    "scores, PlainEngine": lambda vlm, encoding: ours(PlainEngine, vlm, encoding, plans(encoding)[:2]),
    "sampled, generate": lambda vlm, encoding: generate(vlm, encoding, [encoding.end], SAMPLES),
    "scores, PackedEngine": lambda vlm, encoding: ours(PackedEngine, vlm, encoding),
    "sampled, PackedEngine": lambda vlm, encoding: ours_sampled(PackedEngine, vlm, encoding),
}


def memory_here(name: str, way: str) -> None:
    """Print by how many MiB this process grows at most while it does the job. The job must be its first."""
    vlm = build(name)
    encoding = encode(vlm)
    with torch.no_grad():
        vlm.model(input_ids=torch.tensor([[5, 6, 7]]))
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")  # forgets the peak of building the model
        before = _peak()
        REMEMBERED[way](vlm, encoding)
    print(json.dumps((_peak() - before) / 1024))


def _peak() -> int:
    """KiB that this process has held at most; `getrusage` would count what its parent held when it was forked."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status).group(1))


def memory(name: str) -> dict[str, float]:
    """MiB of each way, each in a process of its own."""
    grown = {}
    for way in REMEMBERED:
        command = [sys.executable, str(Path(__file__).parent), "--memory-of", way, "--models", name]
        done = subprocess.run(command, capture_output=True, text=True, env=os.environ | GIVES_BACK)
        grown[way] = json.loads(done.stdout) if done.returncode == 0 else None
    return grown

"""How the time of the packed engine and the floor grow with caption, prompt and samples."""

from __future__ import annotations

import functools
import math
import statistics

import torch
from by_hand import by_hand
from floor import Floor, gemm_rate
from models import CAPTION, PROMPT, build, encode
from ours import ours, ours_sampled
from ways import cpu_seconds

from causal_attrib.engine import PackedEngine

GROWTH = {
    "T": (8, 16, 32, 64, 128, 256),
    "P": (64, 128, 256, 512, 1024, 2048),
    "H": (1, 2, 4, 8, 16),
}


def growth(quick: bool) -> list[dict]:
    """Floor and seconds of the packed engine on LLaVA as one size grows; one forward by hand beside them."""
    points = []
    for size, values in GROWTH.items():
        for value in values[:3] if quick else values:
            P, T, H = value if size == "P" else PROMPT, value if size == "T" else CAPTION, value
            # A longer prompt is a larger picture: its tokens are a square that leaves room for some words.
            vlm = build("llava", math.isqrt(P - 24))
            encoding = encode(vlm, P, T)
            floor, rate = Floor(vlm, encoding), gemm_rate(PROMPT)
            point = {"size": size, "value": value, "prompt": encoding.prompt_length, "caption": T}
            with torch.no_grad():
                point["forward_seconds"] = cpu_seconds(lambda e=encoding, v=vlm: by_hand(v, e, only=[e.end]))
                if size == "H":
                    point["floor"] = floor.sampled(H) / gemm_rate(H * (T + 1))
                    run = functools.partial(ours_sampled, PackedEngine, vlm, encoding, samples=H)
                else:
                    point["floor"] = floor.scores() / rate
                    run = functools.partial(ours, PackedEngine, vlm, encoding)
                cheap = point["floor"] < 3
                point["seconds"] = statistics.median(cpu_seconds(run) for _ in range(3 if cheap else 1))
                point["factor"] = point["seconds"] / point["floor"]
            points.append(point)
    return points

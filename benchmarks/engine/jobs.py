"""The jobs: scores of every edit, and sampled completions behind every prefix, each in several ways."""

from __future__ import annotations

import functools

import torch
from by_hand import by_hand, features, generate, generate_cached, judge, prompt_cache
from models import SAMPLES, length_of, plans
from ours import engine, ours, ours_sampled
from ways import Way, largest

from causal_attrib.engine import PackedEngine, PlainEngine
from causal_attrib.engine.base import Draft
from causal_attrib.engine.gumbel import GumbelNoise
from causal_attrib.interventions import Keep
from causal_attrib.scores import sufficiency
from causal_attrib.vlm import VLM, Continuation
from causal_attrib.vlm.encoding import Encoding


def scores_ways(vlm: VLM, encoding: Encoding, quick: bool) -> list[Way]:
    """Necessity and early answers."""
    T = encoding.end
    every = 2 * T + 1
    # Edits of the whole length and short ones, in the same proportion: their mean costs what the mean of all does.
    some = [0, T // 2, T - 1, T, T + 1, T + 1 + T // 2] if quick else None
    share = len(some) / every if quick else 1.0
    truth = functools.cache(lambda: by_hand(vlm, encoding, only=some))
    ways = [
        Way("by hand, with pixels", lambda: by_hand(vlm, encoding, only=some), share=share),
        Way(
            "by hand, vision once",
            lambda: by_hand(vlm, encoding, cached=True, only=some),
            lambda: largest(by_hand(vlm, encoding, cached=True, only=some), truth()),
            share,
        ),
    ]
    plan = plans(encoding)
    chosen = list(range(len(plan)))
    if quick:
        # Places in `plans` of the same edits: behind the longest prefix comes the whole response once more.
        chosen = [index if index <= T else index + 1 for index in some]
    ways.append(
        Way(
            "PlainEngine",
            lambda: ours(PlainEngine, vlm, encoding, [plan[i] for i in chosen]),
            lambda: largest(ours(PlainEngine, vlm, encoding, [plan[i] for i in chosen]), truth()[chosen]),
            share,
        )
    )
    packed = Way(
        "PackedEngine",
        lambda: ours(PackedEngine, vlm, encoding),
        lambda: largest(ours(PackedEngine, vlm, encoding), truth()),
    )
    return [*ways, packed]


def sampled_ways(vlm: VLM, encoding: Encoding, quick: bool) -> list[Way]:
    """H sampled completions behind each prefix; the engines' ways judge each of them as well."""
    T = encoding.end
    # Lengths fall evenly with t, so these prefixes have the mean length of all.
    counts = [T // 2] if quick else [T // 4, T - T // 4]
    share = len(counts) / (T + 1)
    plan = sufficiency.plan(encoding.units("token"))
    some = [Keep(count) for count in counts]
    cache = functools.cache(lambda: prompt_cache(vlm, encoding))
    seen = functools.cache(lambda: features(vlm, encoding))

    def greedy_alike():
        pairs = zip(
            generate(vlm, encoding, counts, 1, greedy=True),
            generate_cached(vlm, encoding, counts, 1, greedy=True, cache=cache()),
            strict=True,
        )
        return 0.0 if all(torch.equal(*pair) for pair in pairs) else "greedy search writes other tokens"

    ways = [
        Way("generate for each prefix, with pixels", lambda: generate(vlm, encoding, counts, SAMPLES), share=share),
        Way(
            "generate from a copy of the prompt's cache",
            lambda: generate_cached(vlm, encoding, counts, SAMPLES, cache=cache()),
            greedy_alike,
            share,
        ),
        Way(
            "judging the completions by hand, vision once",
            lambda: [judge(vlm, encoding, seen(), count) for count in counts],
            share=share / SAMPLES,
        ),
        Way("PlainEngine", lambda: ours_sampled(PlainEngine, vlm, encoding, some), share=share),
    ]
    # With it the draws behind a prefix do not depend on which others are asked for.
    coupled = {"coupling": "gumbel"}

    def same_draws():
        packed = ours_sampled(PackedEngine, vlm, encoding, **coupled)[[plan.index(keep) for keep in some]]
        return largest(packed, ours_sampled(PlainEngine, vlm, encoding, some, **coupled))

    def draw():
        drafts = [
            Draft(
                encoding,
                Continuation(encoding.response_ids[:count]),
                length_of(encoding, count),
                GumbelNoise(0, 1 + count, k),
            )
            for count in range(T + 1)
            for k in range(SAMPLES)
        ]
        return engine(PackedEngine, vlm).write(drafts)

    return [
        *ways,
        Way("PackedEngine", lambda: ours_sampled(PackedEngine, vlm, encoding), same_draws),
        Way("PackedEngine, drawing alone", draw),
    ]

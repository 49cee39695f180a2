"""Error against cost of sampled sufficiency: python benchmarks/sampled_sufficiency.py [--scenes 8] [--json FILE]

Reasoned questions about unseen scenes, each second picture blurred so that the model is in doubt; the response is what
the bundled model itself writes (greedy), the outcome is match, and every word of its thoughts is scored. Two ways:

    paired, independent    the paper's estimator and draws: tends to p1 (1 - p0)
    mean_gain, gumbel      the default of outcomes that judge text: tends to relu(p1 - p0)

and the estimator of the second on the draws of the first, which tells what the coupling brings. Each is run with H
completions behind every prefix, and the default also with its early stop. Errors are from relu(p1 - p0), what a word
adds to the chance of a right answer, which many more draws with other seeds tell. What is printed: token positions and
CPU seconds of one thread per word, root mean square and mean of the error, how wide the 95 % interval is that comes
with a score (a confidence sequence), and for how many words it holds the effect. Brackets: 95 % bootstrap over scenes.

    nice -n 10 python benchmarks/sampled_sufficiency.py
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator

import numpy as np
import pandas as pd
import torch

import causal_attrib
from causal_attrib import scenes
from causal_attrib.engine import Job, PackedEngine
from causal_attrib.evaluation.degradation.pictures import degrade
from causal_attrib.outcomes import Match
from causal_attrib.scores import sufficiency
from causal_attrib.scores.caption_task import Plan, outcomes_of
from causal_attrib.vlm import VLM, Encoding

# Scenes that the bundled model has never seen.
SEED = 20_261_128
COUNTS = (4, 8, 16, 32, 64)
# Draws that tell the effect, in blocks, and repeats of each way.
BLOCK, BLOCKS, REPEATS = 64, 8, 1
PRECISION = 0.02
WAYS = {
    "independent": ("paired", "mean_gain"),
    "gumbel": ("mean_gain",),
}


def encodings(vlm: VLM, count: int) -> Iterator[Encoding]:
    rng = np.random.default_rng(SEED)
    for number in range(count):
        scene = scenes.sample_scene(rng)
        asked = scenes.questions(scene, rng)
        question = asked[int(rng.integers(len(asked)))]
        picture = degrade(scenes.render(scene)[0], "blur", 3 if number % 2 else 0)
        prompt = scenes.reasoned_prompt(question)
        encoding = vlm.encode(picture, prompt, vlm.describe(picture, prompt), question.answer)
        if encoding.end < len(encoding.response_ids):
            yield encoding


def drawn(vlm: VLM, encoding: Encoding, samples: int, coupling: str, seed: int, precision: float = 0.0):
    """Outcomes (prefixes, H), token positions and CPU seconds."""
    units, judge, engine = encoding.units("word"), Match(encoding.answer), PackedEngine(vlm)
    keeps, nothing = Job(encoding, sufficiency.plan(units), judge), Job(encoding, (), judge)
    began = time.process_time()
    plan = Plan(units, keeps, nothing, samples, coupling, "mean_gain")
    ((outcome_NH, _),) = outcomes_of(engine, [plan], seed=seed, precision=precision)
    return outcome_NH, engine.cost.positions, time.process_time() - began


def effects(vlm: VLM, encoding: Encoding) -> np.ndarray:
    """relu(p1 - p0) of each word (U,)."""
    blocks = [drawn(vlm, encoding, BLOCK, "gumbel", 1000 + block)[0] for block in range(BLOCKS)]
    return sufficiency.read(encoding.units("word"), np.concatenate(blocks, 1), "mean_gain")[0]


def rows_of(vlm: VLM, number: int, encoding: Encoding) -> Iterator[dict]:
    units, effect_U = encoding.units("word"), effects(vlm, encoding)
    for seed in range(REPEATS):
        for coupling, estimators in WAYS.items():
            runs = [(f"{count}", count, 0.0) for count in COUNTS]
            if coupling == "gumbel":
                runs.append((f"up to {COUNTS[-1]}", COUNTS[-1], PRECISION))
            for told, count, precision in runs:
                outcome_NH, positions, seconds = drawn(vlm, encoding, count, coupling, seed, precision)
                for estimator in estimators:
                    score_U, _ = sufficiency.read(units, outcome_NH, estimator)
                    low_U, high_U = sufficiency.interval(units, outcome_NH, estimator)
                    holds_U = (low_U <= effect_U) & (effect_U <= high_U)
                    for u in range(len(units)):
                        yield {
                            "way": f"{estimator}, {coupling}",
                            "H": told,
                            "scene": number,
                            "positions": positions / len(units),
                            "seconds": seconds / len(units),
                            "error": score_U[u] - effect_U[u],
                            "width": high_U[u] - low_U[u],
                            "holds": holds_U[u],
                            "effect": effect_U[u],
                        }


def with_interval(rows: pd.DataFrame, of: str, root: bool = False) -> tuple[float, float, float]:
    """The mean of a column, or the root mean square, and its 95 % percentile interval over scenes."""
    values = rows[of] ** 2 if root else rows[of]
    groups = values.groupby(rows["scene"])
    total_S, count_S = groups.sum().to_numpy(), groups.count().to_numpy()
    chosen = np.random.default_rng(0).integers(len(total_S), size=(2000, len(total_S)))
    means = total_S[chosen].sum(1) / count_S[chosen].sum(1)
    found = np.array([values.mean(), *np.quantile(means, (0.025, 0.975))])
    return tuple(np.sqrt(found) if root else found)


def table(rows: pd.DataFrame) -> str:
    titles = ("H", "positions a word", "CPU ms a word", "root mean square error", "mean error", "width", "holds it")
    lines = [f"| estimator, coupling | {' | '.join(titles)} |", "|---" * (1 + len(titles)) + "|"]
    for (way, told), some in rows.groupby(["way", "H"], sort=False):
        cells = [f"{some.positions.mean():.0f}", f"{1000 * some.seconds.mean():.1f}"]
        for name, root in (("error", True), ("error", False)):
            value, low, high = with_interval(some, name, root)
            cells.append(f"{value:.4f} [{low:.4f}, {high:.4f}]")
        cells += [f"{some.width.mean():.2f}", f"{some.holds.mean():.1%}"]
        lines.append(f"| {way} | {told} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenes", type=int, default=8)
    parser.add_argument("--json", metavar="FILE")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    vlm = causal_attrib.load(device="cpu")
    rows, words = [], 0
    for number, encoding in enumerate(encodings(vlm, asked.scenes)):
        rows += rows_of(vlm, number, encoding)
        words += len(encoding.units("word"))
        print(f"scene {number}: {encoding.response!r}, right {encoding.answer!r}", flush=True)
        frame = pd.DataFrame(rows)
        if asked.json:
            frame.to_json(asked.json, orient="records", indent=1)
    some = frame[(frame["way"] == "mean_gain, gumbel") & (frame["H"] == str(COUNTS[0]))]
    share = (some.effect > 0.05).mean()
    print(f"\n{frame.scene.nunique()} questions, {words} words, {share:.0%} of them with an effect above 0.05\n")
    print(table(frame))


if __name__ == "__main__":
    main()

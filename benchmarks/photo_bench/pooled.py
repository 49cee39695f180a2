"""What `copo eval detection` saved of several captioners, in one table.

    python benchmarks/photo_bench/pooled.py --said SAID-0.jsonl SAID-1.jsonl SAID-2.jsonl --out pooled.json

Each file is that of `--save` for one captioner, all of the same photographs; several runs of one captioner, with
different signals of the same captions, are joined by commas. AUROCs are of pairs of mentions of one captioner, since a
signal of one is not on the scale of another, and intervals draw photographs with what all captioners say of them.

Fits are crossed by photograph, in five folds. `SETS` were chosen on captioners of the kind small and the photographs
of its test split; what they give there is therefore too good.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

import numpy as np
import pandas as pd

from causal_attrib.evaluation.detection import combining, ranking
from causal_attrib.evaluation.detection.columns import BASE_RATE, CONTROLS, PROBE, known
from causal_attrib.evaluation.verdict.scores import BINS

LOOKS_AGAIN = ["naming", "image_logit_views", "image_logit_gain"]
SETS = {
    "naming + image_logit": LOOKS_AGAIN,
    "naming + image_logit + base rate": [*LOOKS_AGAIN, BASE_RATE],
    "naming + image_logit + consistency + evidence": [*LOOKS_AGAIN, "naming_evidence", "consistency", "evidence"],
}
ALL, ALL_AND_RATE = "combination", "combination + base rate"
# Times that labels are drawn anew from stated probabilities: what would be measured if these were right.
REDRAWN = 500


def read(files: list[Path]) -> pd.DataFrame:
    """A row for each mention of a captioner: the signals of all files, which list the same captions."""
    tables = []
    for file in files:
        rows = []
        for number, line in enumerate(file.read_text("utf-8").splitlines()):
            said = json.loads(line)
            for unit in said["units"]:
                about = {name: unit[name] for name in ("node", "start", "false", "first")}
                rows.append({"image": said["image"], "caption": number, **about, **unit["signals"]})
        tables.append(pd.DataFrame(rows))
    table = tables[0]
    keys = ["image", "caption", "node", "start", "false", "first"]
    for other in tables[1:]:
        new = [name for name in other if name not in table or name in keys]
        joined = table.merge(other[new], on=keys, how="inner", validate="one_to_one")
        if len(joined) != len(table):
            raise SystemExit(f"{files[0]} and another file are not of the same captions.")
        table = joined
    return table


def units_of(table: pd.DataFrame, images: list[str]) -> combining.Units:
    names = [name for name in known() if name in table and name not in (BASE_RATE, PROBE)]
    return combining.Units(
        {name: table[name].to_numpy(dtype=float) for name in names},
        table["false"].to_numpy(dtype=bool),
        table.image.map({image: place for place, image in enumerate(images)}).to_numpy(),
        table.node.to_numpy(dtype=str),
    )


def scores(
    units: combining.Units, *, sets: dict[str, list[str]]
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Of each mention, higher where it is more likely hallucinated: by signals, and the probabilities of fits."""
    about = known()
    alone = {name: -about[name].truer * values for name, values in units.features.items()}
    alone[BASE_RATE] = -combining.base_rate(units)
    candidates = [name for name in units.features if name not in CONTROLS]
    sets = {ALL: candidates, ALL_AND_RATE: [*candidates, BASE_RATE]} | sets
    usable = {name: some for name, some in sets.items() if set(some) <= {*units.features, BASE_RATE}}
    return alone, {name: combining.judged(units, some) for name, some in usable.items()}


def if_right(p_N: np.ndarray, units: combining.Units) -> float:
    """Mean calibration error in percent of labels that are drawn from `p_N`, each by itself."""
    rng = np.random.default_rng(0)
    place_N = np.minimum((p_N * BINS).astype(int), BINS - 1)
    errors = []
    for _ in range(REDRAWN):
        gap_N = (rng.random(len(p_N)) < p_N) - p_N
        errors.append(np.abs(np.bincount(place_N, gap_N)).sum() / len(p_N))
    return 100 * float(np.mean(errors))


def measured(
    units: combining.Units, seed_N: np.ndarray, score_N: np.ndarray, commonest: str, draws: dict[str, int]
) -> dict[str, dict]:
    other_N = units.class_N != commonest
    word_N = np.char.add(np.char.add(seed_N.astype(str), " "), units.class_N)

    def auroc(some_N: np.ndarray, pairs_N: np.ndarray) -> dict:
        found = ranking.intervals(
            ["within"], units.false_N[some_N], score_N[some_N], units.image_N[some_N], class_N=pairs_N[some_N], **draws
        )
        return dataclasses.asdict(found["within"])

    every_N = np.full(len(score_N), True)
    return {
        "auroc": auroc(every_N, seed_N.astype(str)),
        "without_commonest": auroc(other_N, seed_N.astype(str)),
        "within_word": auroc(every_N, word_N),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--said", nargs="+", required=True, help="a file for each captioner, or several with commas")
    parser.add_argument("--out", type=Path, required=True, help="JSON with all figures")
    parser.add_argument("--bootstrap", type=int, default=1000)
    arguments = parser.parse_args()
    draws = {"resamples": arguments.bootstrap, "seed": 0}
    tables = [read([Path(name) for name in some.split(",")]) for some in arguments.said]
    images = list(dict.fromkeys(image for table in tables for image in table.image))
    shared = [name for name in known() if all(name in table for table in tables)]
    keys = ["image", "caption", "node", "start", "false", "first"]
    pooled = units_of(pd.concat([table[[*keys, *shared]] for table in tables], ignore_index=True), images)
    seed_N = np.repeat(np.arange(len(tables)), [len(table) for table in tables])
    commonest = pd.Series(pooled.class_N).mode()[0]

    each = [scores(units_of(table[[*keys, *shared]], images), sets=SETS) for table in tables]
    together, together_p = scores(pooled, sets=SETS)
    found: dict[str, dict] = {}
    for name in [*together, *together_p]:
        fitted = name in together_p
        by_seed = [(fits if fitted else alone)[name] for alone, fits in each]
        score_N = together_p[name] if fitted else np.concatenate(by_seed)
        found[name] = {"fitted": fitted, "together": measured(pooled, seed_N, score_N, commonest, draws)}
        found[name]["seeds"] = [
            measured(pooled[seed_N == seed], np.zeros(len(of), int), of, commonest, draws)
            for seed, of in enumerate(by_seed)
        ]
        if fitted:
            ece = combining.calibration(score_N, pooled, **draws)
            found[name]["ece"] = dataclasses.asdict(ece) | {"if_right": if_right(score_N, pooled)}
            found[name]["ece_seeds"] = [
                combining.calibration(of, pooled[seed_N == seed], **draws).value for seed, of in enumerate(by_seed)
            ]
    counts = {
        "captioners": len(tables),
        "photographs": len(images),
        "mentions": [len(table) for table in tables],
        "hallucinated": [int(table["false"].sum()) for table in tables],
        "commonest": commonest,
    }
    arguments.out.write_text(json.dumps(rounded({"counts": counts, "signals": found})) + "\n", "utf-8")
    print(table_of(found, commonest))


def rounded(value):
    """Hundredths of a percent, finer than any of it is known."""
    if isinstance(value, dict):
        return {key: rounded(one) for key, one in value.items()}
    if isinstance(value, list):
        return [rounded(one) for one in value]
    return round(value, 2) if isinstance(value, float) else value


def table_of(found: dict[str, dict], commonest: str) -> str:
    def cell(one: dict) -> str:
        if one["value"] is None:
            return ""
        return f"{one['value']:.1f} [{one['low']:.1f}, {one['high']:.1f}]"

    lines = [f'| signal | AUROC | each seed | without "{commonest}" | within the same word | ECE |', "|---" * 6 + "|"]
    for name, one in sorted(found.items(), key=lambda item: -item[1]["together"]["auroc"]["value"]):
        seeds = ", ".join(f"{seed['auroc']['value']:.1f}" for seed in one["seeds"])
        ece = f"{cell(one['ece'])}; {one['ece']['if_right']:.1f} if right" if one["fitted"] else ""
        together = one["together"]
        within = "" if name == BASE_RATE else cell(together["within_word"])
        kind = "fitted" if one["fitted"] else "control" if name in CONTROLS else ""
        lines.append(
            f"| `{name}`{f' ({kind})' if kind else ''} | {cell(together['auroc'])} | {seeds} "
            f"| {cell(together['without_commonest'])} | {within} | {ece} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()

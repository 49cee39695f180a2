"""What must stay equal when code is moved: captions scored in many ways, CHAIR of a file, a few training steps.

    python benchmarks/golden_run.py DIR              in the checkout before, and again in the one after
    python benchmarks/golden_run.py --compare A B    names every file that differs

Every command runs as a user would call it, in a process of its own; times and versions are taken out of what it wrote.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from pathlib import Path

from safetensors.numpy import load_file

ROOT = Path(__file__).parents[1]
PARK = str(ROOT / "examples" / "park.png")
COPO = [sys.executable, "-c", "from causal_attrib_cli.main import main; main()"]
REASONED = "<think> there is a dog on the grass </think> <answer> yes </answer>"
SCORES = {
    "grounding": [PARK, "a dog and a red frisbee on the grass at sunset"],
    "own_words": [PARK],
    "verdict": [PARK, "a dog on the grass", "--verdict"],
    "blur": [PARK, "a dog and a cat on the grass", "--against", "blur", "--level", "word"],
    "question": [PARK, "a dog", "--question", "Is there an animal?", "--answer", "yes"],
    "objects": [PARK, "a dog and a cat", "--objects", "dog,frisbee"],
    "yesno": [PARK, "a dog", "--level", "word", "--mask", "mean", "--outcome", "yesno"],
    "likelihood": [PARK, "a dog", "--question", "Is there a dog?", "--answer", "yes", "--mask", "token"],
    "plain": [PARK, "a dog and a person", "--engine", "plain", "--mask", "delete"],
    "sampled": [PARK, REASONED, "--question", "Is there a dog?", "--samples", "2", "--coupling", "gumbel"],
    "coherence": [PARK, REASONED, "--question", "Is there a dog?", "--coherence"],
}
TRAIN = "--max-steps 2 --gradient-accumulation-steps 1 --logging-steps 1 --save-steps 2"
# Values that differ from run to run, and lines of a log that hold nothing else.
TIMES = {"seconds", "version", "date", "run_time", "forwards_per_second"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--compare", nargs=2, type=Path, metavar=("A", "B"))
    asked = parser.parse_args()
    if asked.compare:
        sys.exit(compare(*asked.compare))
    run(asked.folder.absolute())


def run(folder: Path) -> None:
    folder.mkdir(parents=True)
    for name, arguments in SCORES.items():
        copo("score", *arguments, "--out", f"{name}.json", folder=folder)
    copo("saliency", PARK, "a dog on the grass", "--token", "dog", "--out", "maps", folder=folder)
    copo("scenes", "worlds", "--count", "24", "--seed", "3", folder=folder)
    rows = [{"image": PARK, "caption": caption} for caption in ("a dog", "a cat on the grass", "a red frisbee")]
    (folder / "captions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    copo("score", "--input", "captions.jsonl", "--output", "many.jsonl", folder=folder)
    said = [{"image_id": number, "caption": caption} for number, caption in enumerate(CAPTIONS)]
    (folder / "said.json").write_text(json.dumps(said))
    truth = {str(number): ["dog", "person"] for number in range(len(CAPTIONS))}
    (folder / "truth.json").write_text(json.dumps(truth))
    for rules in ("official", "repaired"):
        of_captions = ["--captions", "said.json", "--objects", "truth.json", "--rules", rules]
        copo("eval", "chair", *of_captions, "--out", f"chair_{rules}.json", folder=folder)
    copo("eval", "verdict", "--scenes", "20", "--out", "verdicts.json", folder=folder)
    for method in ("grpo", "copo", "cepo", "symmpo"):
        asked = ["--config", str(ROOT / "examples" / "recipes" / f"{method}.yaml"), "--data", "worlds"]
        copo("train", *asked, *TRAIN.split(), "--output-dir", f"trained_{method}", folder=folder)


CAPTIONS = (
    "A dog and a man on a bench.",
    "a baby elephant next to two kites",
    "a hot-dog and a teddy-bear",
    "people ride bikes; a traffic light",
    "A wine glass, forks and knives.",
)


def copo(*arguments: str, folder: Path) -> None:
    path = f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    done = subprocess.run(
        [*COPO, *arguments],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path, "COLUMNS": "100"},
        capture_output=True,
        text=True,
    )
    with (folder / "said.log").open("a") as log:
        log.write(f"$ copo {' '.join(arguments)}\n{done.stderr}")
    if done.returncode:
        raise SystemExit(f"copo {' '.join(arguments)}: {done.stderr}")


def compare(before: Path, after: Path) -> int:
    names = sorted({path.relative_to(side) for side in (before, after) for path in side.rglob("*") if path.is_file()})
    names = [name for name in names if name.suffix in (".json", ".jsonl", ".safetensors", ".png", ".csv")]
    differing = [name for name in names if not equal(before / name, after / name)]
    for name in differing:
        print(f"differs: {name}")
    print(f"{len(names)} files compared, {len(differing)} differ")
    return bool(differing)


def equal(before: Path, after: Path) -> bool:
    if not (before.exists() and after.exists()):
        return False
    if before.suffix == ".safetensors":
        one, other = load_file(before), load_file(after)
        return one.keys() == other.keys() and all((one[key] == other[key]).all() for key in one)
    if before.suffix == ".json":
        return timeless(json.loads(before.read_text())) == timeless(json.loads(after.read_text()))
    if before.suffix == ".jsonl":
        sides = ([timeless(json.loads(line)) for line in side.read_text().splitlines()] for side in (before, after))
        return next(sides) == next(sides)
    return before.read_bytes() == after.read_bytes()


def timeless(value: object) -> object:
    if isinstance(value, dict):
        if "target_modules" in value:  # a set in peft, written in any order
            value = {**value, "target_modules": sorted(value["target_modules"])}
        return {key: timeless(item) for key, item in value.items() if not _is_time(key)}
    if isinstance(value, list):
        return [timeless(item) for item in value]
    return str(value).replace(str(ROOT), "") if isinstance(value, str) else value


def _is_time(key: str) -> bool:
    return key in TIMES or re.search(r"time|second|flos|_path$|memory|image$|^path$|input", key) is not None


if __name__ == "__main__":
    main()

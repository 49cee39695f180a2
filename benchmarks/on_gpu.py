"""All that can only be measured on a GPU, in one table: python benchmarks/on_gpu.py [--json FILE] [--tiny]

Runs `engine_on_gpu.py` and `saliency_on_gpu.py` at LLaVA-1.5-7B's size and `training_on_gpu.py` at Qwen2-VL-2B's, all
with random weights, each in a process of its own, and puts their figures below one another. `--tiny` tries it out with
tiny models on the CPU, where the figures mean nothing.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parent
PARTS = ("engine", "saliency", "training")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--json", metavar="FILE")
    asked = parser.parse_args()
    results, failed = {}, []
    for part in asked.only:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "figures.json"
            command = [sys.executable, str(HERE / f"{part}_on_gpu.py"), "--json", str(file)]
            done = subprocess.run(command + (["--size", "tiny", "--device", "cpu"] if asked.tiny else []))
            if done.returncode or not file.exists():
                failed.append(part)
            else:
                results[part] = json.loads(file.read_text())
    print("\n| part | figure | value |\n|---|---|---|")
    for part, figures in results.items():
        for name, value in flat(figures):
            print(
                f"| {part} | {name} | {value:.4g} |" if isinstance(value, float) else f"| {part} | {name} | {value} |"
            )
    if asked.json:
        Path(asked.json).write_text(json.dumps(results, indent=1) + "\n")
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


def flat(value: object, name: str = "") -> Iterator[tuple[str, object]]:
    """Figures by where they stand in nested objects."""
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from flat(item, f"{name}, {key}" if name else str(key))
    else:
        yield name, value


if __name__ == "__main__":
    main()

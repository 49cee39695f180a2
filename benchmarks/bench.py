"""All ratios in some five minutes of a quiet core: make bench, or python benchmarks/bench.py [--no-write]

Each run appends a line to benchmarks/results/history.jsonl, with versions, and writes the table between the marks in
docs/engine.md from it. Seconds are CPU seconds of one thread; the rate of matrix products is measured beside each
part, since a busy machine has another one from minute to minute: compare ratios within a line, and lines with care.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parents[1]
HISTORY = ROOT / "benchmarks" / "results" / "history.jsonl"
PAGE = ROOT / "docs" / "engine.md"
MARKS = "<!-- bench -->\n", "<!-- end of bench -->\n"
CAPTION = "a dog and a red frisbee on the grass at sunset"
COPO = [sys.executable, "-c", "from causal_attrib_cli.main import main; main()"]
# A notebook has all threads, a command line is given one: CPU seconds of the third call, when all is warm.
NOTEBOOK = """
import json, sys, time, torch, causal_attrib
vlm, threads, seconds = causal_attrib.load(device="cpu"), int(sys.argv[3]), []
for _ in range(9):
    torch.set_num_threads(threads)
    began = time.process_time()
    causal_attrib.score(sys.argv[1], sys.argv[2], model=vlm)
    seconds.append(time.process_time() - began)
print(json.dumps(sorted(seconds[2:])[3]))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--no-write", action="store_true", help="Print only.")
    parser.add_argument("--table", action="store_true", help="Measure nothing; write the page from the last line.")
    asked = parser.parse_args()
    if asked.table:
        record = json.loads(HISTORY.read_text().splitlines()[-1])
    else:
        record = {
            "date": datetime.date.today().isoformat(),
            "versions": {name: version(name) for name in ("copo", "torch", "transformers")},
            "python": platform.python_version(),
            "processor": platform.processor() or platform.machine(),
            "figures": figures(),
        }
    told = table(record)
    print(told)
    if asked.no_write:
        return
    if not asked.table:
        with HISTORY.open("a") as history:
            history.write(json.dumps(record) + "\n")
    before, _, rest = PAGE.read_text().partition(MARKS[0])
    PAGE.write_text(before + MARKS[0] + told + "\n" + MARKS[1] + rest.partition(MARKS[1])[2])


def figures() -> dict[str, float]:
    """Every ratio and what it is made of."""
    found = {}
    found["copo --help, CPU s"] = cpu_of([*COPO, "--help"])
    found["copo env, CPU s"] = cpu_of([*COPO, "env"])
    example = [*COPO, "score", str(ROOT / "examples" / "park.png"), CAPTION]
    found["copo score, the README's example, CPU s"] = cpu_of(example)
    one, every = (notebook(threads) for threads in (1, os.cpu_count() or 1))
    found["a caption, one thread, CPU s"] = one
    found["a caption from a notebook with all threads, times that"] = every / one

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "engine.json"
        quick = ["--quick", "--only", "scores", "peers", "--models", "llava", "--json", str(file)]
        run([sys.executable, str(ROOT / "benchmarks" / "engine"), *quick])
        engine = json.loads(file.read_text())
    of_model = engine["models"]["llava"]
    scores = {way["name"]: way["seconds"] for way in of_model["scores"]["ways"]}
    packed = scores["PackedEngine"]
    found["packed scores, times the floor"] = packed / of_model["scores"]["floor"]
    found["packed scores, times faster than by hand"] = scores["by hand, with pixels"] / packed
    found["packed scores, times faster than by hand with vision once"] = scores["by hand, vision once"] / packed
    for job in of_model["peers"]:
        peers = {way["name"]: way["seconds"] for way in job["ways"] if way["right"]}
        for name, seconds in peers.items():
            if name.startswith("captum") and seconds and peers.get("PackedEngine"):
                found[f"packed, times faster than {name}"] = seconds / peers["PackedEngine"]
    found["matrix products then, GFLOP/s"] = max(engine["machine"]["gemm_flops"].values()) / 1e9

    long = [sys.executable, str(ROOT / "benchmarks" / "engine" / "long.py"), "--only"]
    told = run([*long, "forward:256", "token:64", "token:256", "auto:256"])
    # Beside the rows stands what libraries print.
    rows = [json.loads(line) for line in told.splitlines() if line.startswith("{")]
    forward, short, token, auto = rows
    found["T = 256 by token, times T = 64"] = token["seconds"] / short["seconds"]
    found["T = 256 by auto, times T = 64 by token"] = auto["seconds"] / short["seconds"]
    found["packed scores at T = 256, memory, times one forward"] = token["MiB"] / forward["MiB"]
    for row in rows:
        found[f"matrix products beside {row['way']}:{row['T']}, GFLOP/s"] = sum(row["gflops"]) / 2
    return found


def run(command: list[str]) -> str:
    threads = {"OMP_NUM_THREADS": "1"}
    return subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ | threads).stdout


def cpu_of(command: list[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run(command)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def notebook(threads: int) -> float:
    command = [sys.executable, "-c", NOTEBOOK, str(ROOT / "examples" / "park.png"), CAPTION, str(threads)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def table(record: dict) -> str:
    versions = ", ".join(f"{name} {number}" for name, number in record["versions"].items())
    rows = "\n".join(f"| {name} | {value:.3g} |" for name, value in record["figures"].items())
    return f"Measured {record['date']} with {versions} by `make bench`:\n\n| figure | value |\n|---|---|\n{rows}\n"


if __name__ == "__main__":
    main()

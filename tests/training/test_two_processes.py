"""The gate looks at prompts whose completions lie on two processes."""

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("trl", reason="TRL is not installed (extra `train`)")

from tests.training.runs import GROUP

ROOT = Path(__file__).parents[2]


def test_the_gate_keeps_the_same_prompts_on_both_processes(tmp_path):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    # Judged by what it wrote: gloo now and then ends with an error after all is done.
    ran = subprocess.run(
        [*command, str(Path(__file__).with_name("two_processes.py")), str(tmp_path)],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (tmp_path / "1.json").is_file(), ran.stderr[-3000:]
    first, second = (json.loads((tmp_path / f"{n}.json").read_text()) for n in range(2))
    assert first["rewards"] == second["rewards"] and first["weights"] == second["weights"]
    prompts, kept = first["prompts"] + second["prompts"], first["kept"] + second["kept"]
    variances = [statistics.pvariance(first["rewards"][n : n + GROUP]) for n in range(0, len(prompts), GROUP)]
    best = sorted(range(3), key=lambda n: -variances[n])[:2]
    assert kept == [n // GROUP in best for n in range(len(prompts))]
    assert all(len(set(prompts[n : n + GROUP])) == 1 for n in range(0, len(prompts), GROUP))
    assert first["all_tokens"] == second["all_tokens"] == first["tokens"] + second["tokens"]
    (entry,) = first["logged"]
    assert entry["copo/prompts_kept"] == pytest.approx(2 / 3) and entry["grad_norm"] > 0

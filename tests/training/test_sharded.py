"""Runs whose model is shared out by FSDP 2, ZeRO-2 and ZeRO-3 are those of DDP: `make sharded`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("trl", reason="TRL is not installed (extra `train`)")
if not os.environ.get("COPO_SHARDED"):
    pytest.skip("needs DeepSpeed: make sharded", allow_module_level=True)

from causal_attrib.scenes import write_dataset
from tests.training.sharded import RECIPE, apart

ROOT = Path(__file__).parents[2]
METHODS = ("grpo", "copo", "hero+keep=1", "cepo", "vppo", "pgpo", "papo", "symmpo", "dpo")
RUNS = (
    *METHODS,
    *(f"{method}+full" for method in METHODS),
    "grpo+full+beta=0.1",
    *("copo+again+save-steps=1", "copo+full+again+save-steps=1"),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sharded")
    write_dataset(folder / "scenes", 16, seed=0)
    (folder / "recipe.yaml").write_text(RECIPE + "save_steps: 2\n")
    launch(folder, "ddp", RUNS)
    return folder


def launch(folder, way, runs):
    script = str(Path(__file__).with_name("sharded.py"))
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", script]
        + [str(folder), way, *runs],
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=1200,
    )
    assert (folder / f"{runs[-1]}-{way}" / "trainer_state.json").is_file(), done.stderr[-5000:]


@pytest.mark.parametrize("way", ("fsdp2", "zero2", "zero3"))
def test_each_method_trains_as_in_whole_models(folder, way):
    # DeepSpeed's ZeRO-3 takes one gradient of a parameter in a backward, and papo has two: refused.
    runs = [run for run in RUNS if way != "zero3" or not run.startswith("papo")]
    launch(folder, way, runs)
    # ZeRO-3 sums the gradients of the processes in another order, and Adam's first steps are as long for a gradient
    # near 0 as for a large one.
    assert {run: apart(folder / f"{run}-ddp", folder / f"{run}-{way}") for run in runs} == pytest.approx(
        dict.fromkeys(runs, 0), abs=5e-5
    )
    for run in runs:
        if "again" in run:
            assert apart(folder / f"{run}-{way}", folder / f"{run}-{way}-resumed") == pytest.approx(0, abs=1e-6)

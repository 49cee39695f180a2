"""Two processes: the gate looks at prompts whose completions lie on both, and a run is resumed as one process's is."""

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("trl", reason="TRL is not installed (extra `train`)")

from causal_attrib.scenes import write_dataset
from tests.training.runs import GROUP
from tests.training.sharded import RECIPE, apart

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """The folder that both processes have written into, and what they said.

    One launch for all tests, since to import torch takes each process longer than what it does. They are judged by what
    they write: gloo now and then ends with an error after all is done.
    """
    folder = tmp_path_factory.mktemp("two_processes")
    write_dataset(folder / "scenes", 16, seed=0)
    (folder / "recipe.yaml").write_text(RECIPE + "save_steps: 1\nddp_backend: gloo\n")
    script = str(Path(__file__).with_name("two_processes.py"))
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", script, str(folder)],
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    return folder, done.stderr[-3000:]


def test_the_gate_keeps_the_same_prompts_on_both_processes(ran):
    folder, said = ran
    assert (folder / "1.json").is_file(), said
    first, second = (json.loads((folder / f"{n}.json").read_text()) for n in range(2))
    assert first["rewards"] == second["rewards"] and first["weights"] == second["weights"]
    prompts, kept = first["prompts"] + second["prompts"], first["kept"] + second["kept"]
    variances = [statistics.pvariance(first["rewards"][n : n + GROUP]) for n in range(0, len(prompts), GROUP)]
    best = sorted(range(3), key=lambda n: -variances[n])[:2]
    assert kept == [n // GROUP in best for n in range(len(prompts))]
    assert all(len(set(prompts[n : n + GROUP])) == 1 for n in range(0, len(prompts), GROUP))
    assert first["all_tokens"] == second["all_tokens"] == first["tokens"] + second["tokens"]
    (entry,) = first["logged"]
    assert entry["copo/prompts_kept"] == pytest.approx(2 / 3) and entry["grad_norm"] > 0
    # Where one process cannot read its rows the other does not wait for it.
    assert first["loss"] == second["loss"] == {"alike": True, "mixed": None}


def test_rows_of_text_stand_beside_those_with_pictures(ran):
    """One process has a picture in each step and the other none: neither waits for what the other does not do."""
    folder, said = ran
    assert (folder / "1.json").is_file(), said
    first, second = (json.loads((folder / f"{n}.json").read_text())["of_text"] for n in range(2))
    assert {first["pictures"], second["pictures"]} == {0, GROUP}
    assert first["weights"] == second["weights"] and first["gradients"] == second["gradients"]
    assert len(first["gradients"]) == 2 and min(first["gradients"]) > 0
    # Where one process has nothing to hold against the formula the other does not wait for it.
    assert first["checked"] is second["checked"] is False


def test_a_resumed_run_of_two_processes_ends_as_the_whole_one(ran):
    """Each draws its own completions, so each has to find its own random state again."""
    folder, said = ran
    for run in ("whole", "again"):
        assert (folder / run / "adapter_model.safetensors").is_file(), said
    whole, again = (
        [
            {name: value for name, value in entry.items() if "time" not in name and "seconds" not in name}
            for entry in json.loads((folder / run / "trainer_state.json").read_text())["log_history"]
            if "loss" in entry
        ]
        for run in ("whole", "again")
    )
    assert len(whole) == 2 and whole == again
    assert whole[1]["grad_norm"] > 0
    weights = [(folder / run / "adapter_model.safetensors").read_bytes() for run in ("whole", "again")]
    assert weights[0] == weights[1]


def test_under_fsdp_scores_are_those_of_the_whole_model(ran):
    """FSDP 2 shares parameters out before and after, and one process scores more than the other."""
    folder, said = ran
    assert (folder / "sharded_1.json").is_file() and (folder / "sharded_0.json").is_file(), said
    first, second = (json.loads((folder / f"sharded_{n}.json").read_text()) for n in range(2))
    assert (first["scored"], second["scored"]) == (4, 0)
    for one in (first, second):
        assert one["alike"] and one["shared_out"]
        # PAPO's loss, whose two forwards all processes make.
        assert one["same_read"] and one["same_gradient"] and one["gradient"] > 1e-3


def test_a_whole_model_trains_and_resumes_under_fsdp_as_under_ddp(ran):
    """By accelerate, whose own choice of layers to share out names one of CLIP that LLaVA has not."""
    folder, said = ran
    ddp, fsdp, resumed = (folder / f"copo+full{end}" for end in ("-ddp", "+again-fsdp2", "+again-fsdp2-resumed"))
    assert (resumed / "trainer_state.json").is_file(), said
    assert apart(ddp, fsdp) < 1e-5
    # A part of the tower has no gradient, and no state in the optimizer's file but for what is put there.
    assert apart(fsdp, resumed) < 1e-6
    files = [(run / "checkpoint-1" / "pytorch_model_fsdp.bin").is_file() for run in (ddp, fsdp)]
    assert files == [False, True]

"""`copo train` in two processes of a CPU, by each way of sharing a model out; run by test_sharded.py.

    python -m torch.distributed.run --nproc_per_node 2 tests/training/sharded.py FOLDER WAY RUN ...

FOLDER has a recipe.yaml. RUN is a method and flags without dashes (`copo+full+beta=0.1`), and is written into
FOLDER/RUN-WAY. A run with `again` is also resumed from its first checkpoint, into FOLDER/RUN-WAY-resumed.
"""

import json
import os
import shutil
import sys
from pathlib import Path

import torch
from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import DistributedType
from safetensors.torch import load_file
from typer.testing import CliRunner

import causal_attrib

# Two updates; what else a run needs its test adds.
RECIPE = """
data: scenes
max_steps: 2
num_generations: 4
per_device_train_batch_size: 4
gradient_accumulation_steps: 1
max_completion_length: 24
temperature: 1.5
learning_rate: 1e-4
show_completions: 0
"""
_FSDP = {
    "ACCELERATE_USE_FSDP": "true",
    "FSDP_RESHARD_AFTER_FORWARD": "true",
    "FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP",
    "FSDP_STATE_DICT_TYPE": "FULL_STATE_DICT",
    "FSDP_CPU_RAM_EFFICIENT_LOADING": "false",
    "FSDP_OFFLOAD_PARAMS": "false",
}
_ZERO = {"ACCELERATE_USE_DEEPSPEED": "true", "DS_ACCELERATOR": "cpu"}
# What `accelerate launch` sets for a file like those in examples/recipes/accelerate.
WAYS = {
    "ddp": {},
    "fsdp2": _FSDP | {"FSDP_VERSION": "2"},
    "zero2": _ZERO | {"ACCELERATE_DEEPSPEED_ZERO_STAGE": "2"},
    "zero3": _ZERO | {"ACCELERATE_DEEPSPEED_ZERO_STAGE": "3", "ACCELERATE_DEEPSPEED_ZERO3_SAVE_16BIT_MODEL": "true"},
}


def main(folder: Path, way: str, runs: list[str]) -> None:
    from causal_attrib_cli.main import app

    os.environ |= WAYS[way]
    if way == "fsdp2":
        take_fsdp_on_cpus()
    torch.set_num_threads(1)
    os.chdir(folder)
    for run in runs:
        method, *flags = run.split("+")
        words = ["train", "--config", "recipe.yaml", "--quiet", "--use-cpu", "yes", "--method", method]
        words += [f"--{flag}" for flag in flags if flag != "again"]
        out = Path(f"{run}-{way}")
        _train(app, [*words, "--output-dir", str(out)])
        if "again" in flags:
            resumed = Path(f"{run}-{way}-resumed")
            if PartialState().is_main_process:
                shutil.copytree(out / "checkpoint-1", resumed / "checkpoint-1")
            PartialState().wait_for_everyone()
            _train(app, [*words, "--output-dir", str(resumed), "--resume"])


def _train(app, words: list[str]) -> None:
    # Left over from the run before, with its settings.
    AcceleratorState._reset_state()
    done = CliRunner().invoke(app, words)
    if done.exit_code:
        raise SystemExit(f"{' '.join(words)} ended with {done.exit_code}: {done.output[-3000:]}")
    PartialState().wait_for_everyone()


def take_fsdp_on_cpus() -> None:
    """accelerate shares a model out over devices of every kind but CPUs; this lets it take two of them."""
    begin = PartialState.__init__

    def begun(self, *args, **kwargs):
        begin(self, *args, **kwargs)
        if self.distributed_type == DistributedType.MULTI_CPU:
            self.distributed_type = DistributedType.MULTI_XPU

    PartialState.__init__ = begun


def apart(first: Path, second: Path) -> float:
    """The largest difference between two runs: of loss, gradient and reward at each update, and of trained weights."""
    logs = [
        [
            entry[name]
            for entry in json.loads((run / "trainer_state.json").read_text())["log_history"]
            for name in ("loss", "grad_norm", "reward")
            if name in entry
        ]
        for run in (first, second)
    ]
    weights = [_weights(run) for run in (first, second)]
    assert weights[0].keys() == weights[1].keys() and len(logs[0]) == len(logs[1]) >= 4
    of_weights = max((weights[0][name] - weights[1][name]).abs().max().item() for name in weights[0])
    return max(of_weights, *(abs(one - other) for one, other in zip(*logs, strict=True)))


def _weights(run: Path) -> dict[str, torch.Tensor]:
    adapter = run / "adapter_model.safetensors"
    return load_file(adapter) if adapter.is_file() else causal_attrib.load(str(run)).model.state_dict()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:])

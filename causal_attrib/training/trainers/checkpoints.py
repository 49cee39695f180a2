"""Which checkpoint a run goes on from.

A run may be killed while it writes one. The Trainer writes `trainer_state.json` last, and removes older checkpoints
only after that, so that there is always one whose state can be read.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from causal_attrib.errors import InputError
from causal_attrib.training.recipe.arithmetic import filled

if TYPE_CHECKING:
    from trl import GRPOConfig

_NAME = re.compile(r"checkpoint-(\d+)")
# How files begin that only a resumed run reads.
_OF_THE_OPTIMIZER = ("optimizer", "scheduler", "scaler", "rng_state")


def last_checkpoint(folder: Path) -> Path | None:
    """The last whole checkpoint in a folder."""
    named = ((_NAME.fullmatch(path.name), path) for path in folder.glob("checkpoint-*"))
    found = [(int(name[1]), path) for name, path in named if name and _is_whole(path)]
    return max(found)[1] if found else None


def find_checkpoint(folder: Path, resume: str) -> Path | None:
    """The checkpoint that `--resume` names: "last", or a folder. None if a run has written none yet.

    Raises:
        InputError: the folder named is no whole checkpoint.
    """
    if resume == "last":
        return last_checkpoint(folder)
    path = Path(resume)
    if not _is_whole(path):
        raise InputError(f"{path} is no checkpoint that can be resumed; give a folder checkpoint-N, or --resume alone.")
    return path


def updates_done(checkpoint: Path) -> int:
    """After how many updates a checkpoint was written."""
    return json.loads((checkpoint / "trainer_state.json").read_text("utf-8"))["global_step"]


def put_in_place(checkpoint: Path, folder: Path) -> None:
    """The model of the last checkpoint of a run as the result of the run, which was killed before it wrote that."""
    for file in checkpoint.iterdir():
        if file.is_file() and not file.name.startswith(_OF_THE_OPTIMIZER):
            shutil.copyfile(file, folder / file.name)


def check_kind(checkpoint: Path, *, full: bool, rank: int | None = None) -> None:
    """Raises InputError unless the checkpoint holds what this run trains: all weights, or an adapter (of this rank)."""
    adapter = checkpoint / "adapter_config.json"
    if full == adapter.is_file():
        held, trained = ("an adapter", "the whole model") if full else ("a whole model", "an adapter")
        raise InputError(
            f"{checkpoint} holds {held}, but this run trains {trained}; resume with the settings that it was begun "
            "with."
        )
    if rank is not None and not full:
        held = json.loads(adapter.read_text("utf-8")).get("r")
        if held != rank:
            raise InputError(
                f"{checkpoint} holds adapters of rank {held}, but this run trains some of rank {rank}; resume with the "
                f"lora_rank {held}."
            )


def check_save_steps(args: GRPOConfig) -> None:
    """Raises InputError unless checkpoints of a `GRPOConfig` fall between two generations.

    Completions that wait for their update are not saved, so that a run resumed among them would go another way.
    """
    if args.save_strategy != "steps" or args.save_steps < 1:
        return
    between = args.num_iterations * filled(args.steps_per_generation)
    if int(args.save_steps) * args.gradient_accumulation_steps % between:
        raise InputError(
            f"save_steps is {int(args.save_steps)}, but completions are used for "
            f"{between / args.gradient_accumulation_steps:g} steps and are not saved, so that a resumed run would go "
            "another way; make it a multiple of that."
        )


def check_boundary(checkpoint: Path, args: GRPOConfig, per_epoch: int) -> None:
    """Raises InputError unless a checkpoint stands between two samplings of a `GRPOConfig`.

    Args:
        per_epoch: updates of one pass over the data.
    """
    between = args.num_iterations * filled(args.steps_per_generation)
    if updates_done(checkpoint) % per_epoch * args.gradient_accumulation_steps % between:
        raise InputError(
            f"{checkpoint} stands between two updates of one sampling, which takes "
            f"{between / args.gradient_accumulation_steps:g} now; resume with the steps_per_generation and "
            "num_iterations that it was begun with."
        )


def _is_whole(checkpoint: Path) -> bool:
    try:
        updates_done(checkpoint)
    except (OSError, ValueError, KeyError):
        return False
    return True

"""Which checkpoint a run goes on from, and into which folder.

A run may be killed while it writes one. The Trainer writes `trainer_state.json` last, and removes older checkpoints
only after that, so that there is always one whose state can be read.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from causal_attrib.errors import InputError
from causal_attrib.training.recipe.arithmetic import filled

if TYPE_CHECKING:
    from trl import GRPOConfig

    from causal_attrib.training.recipe.keys import Recipe

# In the folder of a run: what was asked of it, and what it was run with.
RECIPE, VERSIONS = "recipe.yaml", "versions.json"
# What a run writes there and others too.
_OF_OTHERS = ("README.md", RECIPE, "config.json", "model.safetensors", "adapter_config.json", "training.html")
# Settings without which the weights of a checkpoint are another model's.
_OF_WEIGHTS = ("lora_alpha", "lora_targets", "modules_to_save", "use_dora", "use_rslora")
_NAME = re.compile(r"checkpoint-(\d+)")
# How files begin that only a resumed run reads.
_OF_THE_OPTIMIZER = ("optimizer", "scheduler", "scaler", "rng_state")
# One of these holds the moments: the Trainer's, FSDP's, DeepSpeed's.
_MOMENTS = ("optimizer", "global_step")


def last_checkpoint(folder: Path) -> Path | None:
    """The last whole checkpoint in a folder."""
    named = ((_NAME.fullmatch(path.name), path) for path in folder.glob("checkpoint-*"))
    found = [(int(name[1]), path) for name, path in named if name and _is_whole(path)]
    return max(found)[1] if found else None


def find_checkpoint(folder: Path, resume: str) -> Path | None:
    """The checkpoint that `--resume` names: "last", or a folder. None if a run has written none yet.

    Raises:
        InputError: the folder named is no whole checkpoint, or has no state of the optimizer.
    """
    path = last_checkpoint(folder) if resume == "last" else Path(resume)
    if path is None:
        return None
    if not _is_whole(path):
        raise InputError(f"{path} is no checkpoint that can be resumed; give a folder checkpoint-N, or --resume alone.")
    if not any(file.name.startswith(_MOMENTS) for file in path.iterdir()):
        within = last_checkpoint(path)
        instead = f"give {within}" if within else "leave out save_only_model in the run that writes it"
        raise InputError(f"{path} holds no state of the optimizer, without which no run goes on; {instead}.")
    return path


def recipe_before(checkpoint: Path) -> dict[str, Any]:
    """The recipe of the run that wrote a checkpoint; empty if it is not beside it."""
    try:
        found = yaml.safe_load((checkpoint.parent / RECIPE).read_text("utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return found if isinstance(found, dict) else {}


def check_goes_on(checkpoint: Path, recipe: Recipe) -> None:
    """Raises InputError unless a run of this recipe can go on from a checkpoint: by its method, with its weights."""
    check_kind(checkpoint, full=recipe.full, rank=recipe.lora_rank)
    before = recipe_before(checkpoint)
    if before.get("method", recipe.method) != recipe.method:
        model = checkpoint if recipe.full else "DIR"
        first = "" if recipe.full else f"copo merge-adapter {checkpoint} {model}, and then "
        raise InputError(
            f"{checkpoint} is of a run of {before['method']}, and this is one of {recipe.method}; resume it with "
            f"--method {before['method']}, or begin a run with its model: {first}--model {model}."
        )
    for name in () if recipe.full or not before else _OF_WEIGHTS:
        was, now = (
            list(value) if isinstance(value, tuple) else value for value in (before.get(name), getattr(recipe, name))
        )
        if (was or None) != (now or None):
            raise InputError(
                f"{checkpoint} was trained with {name} {was}, and this run has {now}; resume it with the {name} it was "
                "begun with."
            )


def check_free(folder: Path) -> None:
    """Raises InputError if a new run would replace files in its folder that no run has written."""
    if (folder / VERSIONS).is_file():
        return
    for name in _OF_OTHERS:
        if (folder / name).exists():
            raise InputError(
                f"{folder} holds a {name} that no run has written, and this one would replace it; choose another "
                "output_dir."
            )


def updates_done(checkpoint: Path) -> int:
    """After how many updates a checkpoint was written."""
    return json.loads((checkpoint / "trainer_state.json").read_text("utf-8"))["global_step"]


def put_in_place(checkpoint: Path, folder: Path) -> None:
    """The model of the last checkpoint of a run as the result of the run, which was killed before it wrote that."""
    for file in checkpoint.iterdir():
        if file.is_file() and not file.name.startswith(_OF_THE_OPTIMIZER):
            shutil.copyfile(file, folder / file.name)
    for name in (RECIPE, VERSIONS):
        if (checkpoint.parent / name).is_file() and not (folder / name).exists():
            shutil.copyfile(checkpoint.parent / name, folder / name)


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
        try:
            held = json.loads(adapter.read_text("utf-8"))["r"]
        except (OSError, ValueError, KeyError, TypeError):
            raise InputError(f"{adapter} is damaged; resume another checkpoint.") from None
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
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return True

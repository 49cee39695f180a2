"""All of a run that can be found right or wrong before the model is loaded."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from causal_attrib.errors import InputError
from causal_attrib.io.hub import find
from causal_attrib.training.data.places import stands_among_words
from causal_attrib.training.data.reading import check_columns, check_folder, read_data, with_system_prompt
from causal_attrib.training.recipe.arguments import trl_arguments
from causal_attrib.training.recipe.arithmetic import (
    gate_remark,
    of_rollouts,
    prompts_at_once,
    updates,
    updates_per_epoch,
)
from causal_attrib.training.recipe.check import check_recipe, method_of
from causal_attrib.training.recipe.keys import METHOD, SCORES, Recipe, keys
from causal_attrib.training.recipe.method import CEPO, DPO, Method, check_whole_groups
from causal_attrib.training.scoring.policy_scores import Scoring
from causal_attrib.training.scoring.rewards import Reward, check_names, check_not_async, check_reward, choose_reward
from causal_attrib.training.scoring.token_reward import GIVEN, TokenReward
from causal_attrib.training.trainers.checkpoints import check_boundary, check_save_steps, updates_done
from causal_attrib.training.trainers.sharding import check_sharding
from causal_attrib.vlm.loading import BUNDLED

if TYPE_CHECKING:
    from trl import DPOConfig, GRPOConfig

# Methods that take rows of several pictures.
_SEVERAL = ("grpo", "hero", "copo", "dpo")
# What rows of methods that learn from preferences have.
_KINDS = {"symmpo": "contrasts", "dpo": "preferences"}
# Columns that an outcome of copo cannot do without.
_NEEDS = {"objects": "objects", "likelihood": "answer", "match": "answer"}


@dataclass(frozen=True)
class Plan:
    """A recipe with all it names: what is trained by what, and where it begins.

    checkpoint: what is resumed, or None
    """

    recipe: Recipe
    arguments: GRPOConfig | DPOConfig
    method: Method
    scoring: Scoring
    rewards: list[Reward]
    token_reward: TokenReward | None
    rows: list[dict]
    eval_rows: list[dict] | None
    checkpoint: Path | None

    @property
    def updates(self) -> int:
        """Of the whole run."""
        return updates(self.arguments, len(self.rows))

    @property
    def finished(self) -> bool:
        """Whether the checkpoint is of the last update."""
        return self.checkpoint is not None and updates_done(self.checkpoint) >= self.updates

    @property
    def remarks(self) -> list[str]:
        """What is odd about the run but not wrong, in sentences."""
        said = []
        blind = sum(not (row.get("image") or row.get("images")) for row in self.rows)
        if blind:
            said.append(f"{blind} of {len(self.rows)} rows have no picture, and are trained on as text alone.")
        if not isinstance(self.method, DPO) and of_rollouts(self.arguments):
            of_gate = gate_remark(self.method.keep, prompts_at_once(self.arguments))
            said += [of_gate] if of_gate else []
        return said

    @property
    def resolved(self) -> dict[str, Any]:
        """Every key with the value it has in this run: a recipe that needs no defaults."""
        recipe = self.recipe
        values = {key.name: getattr(recipe, key.name) for key in keys()}
        values |= {name: getattr(self.arguments, name) for name in values if hasattr(self.arguments, name)}
        if isinstance(self.method, DPO):
            values["loss_type"] = recipe.loss_type
        values = {name: value.value if isinstance(value, Enum) else value for name, value in values.items()}
        for key in keys():
            if key.metadata["group"] in (METHOD, SCORES) and key.name != "method":
                values[key.name] = None
        values |= {
            name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self.method).items()
        }
        if not isinstance(self.method, DPO):
            values["delta"] = recipe.delta  # TRL's
        if self.method.name == "copo":
            values |= _scoring_keys(self.scoring)
        # What has no effect is refused in a recipe.
        if values.get("spoil") != "patches":
            values["patch_size"] = values["patch_share"] = None
        if values["subset"] != "entropy":
            values["share"] = None
        for name in ("data", "eval_file", "image_root"):
            if values[name] is not None:
                values[name] = str(Path(values[name]).resolve())
        return {name: value for name, value in values.items() if value is not None} | recipe.others


def make_plan(recipe: Recipe, resume: str | None = None, progress: Callable[[int, int], None] | None = None) -> Plan:
    """Check a recipe and read its data.

    Args:
        resume: "last", or a checkpoint; None begins anew.
        progress: called with (pictures opened, pictures in all).

    Raises:
        InputError: something in it is wrong.
    """
    checkpoint = check_recipe(recipe, resume)
    method = method_of(recipe)
    scoring = _scoring(recipe)
    rewards = [choose_reward(name) for name in recipe.reward]
    token_reward = None if recipe.token_reward is None else TokenReward(recipe.token_reward)
    if isinstance(method, CEPO):
        check_not_async(recipe.reward[0], rewards[0], "cepo")
    _check_model(recipe)
    arguments = trl_arguments(recipe)
    if not isinstance(method, DPO) and of_rollouts(arguments):
        check_save_steps(arguments)
        check_whole_groups(method, arguments)
    if arguments.use_liger_kernel and arguments.device.type == "cpu":
        # Triton would say "0 active drivers", in the first forward.
        raise InputError("use_liger_kernel needs a GPU, since Liger's kernels are Triton's; leave it out.")
    _check_sharding(method, arguments, token_reward)
    check_folder(recipe.folder)
    assert recipe.data is not None  # which has been checked
    share = arguments.process_index, arguments.world_size
    rows, eval_rows = _rows(recipe, recipe.data, method, share, progress), None
    if recipe.eval_file is not None:
        eval_rows = _rows(recipe, recipe.eval_file, method, share, progress)
    for some, path in ((rows, recipe.data), (eval_rows or [], recipe.eval_file)):
        _check_pictures(some, path, method, scoring)
        check_columns(some)
        if not isinstance(method, DPO):
            check_names(some, path)
            if token_reward is not None:
                _check_given(some, path)
            for name, reward in zip(recipe.reward, rewards, strict=True):
                check_reward(name, reward, some, path, alone=len(rewards) == 1)
            _check_outcome(some, path, recipe, scoring)
    updates(arguments, len(rows))
    if checkpoint is not None and of_rollouts(arguments):
        check_boundary(checkpoint, arguments, updates_per_epoch(arguments, len(rows)))
    return Plan(recipe, arguments, method, scoring, rewards, token_reward, rows, eval_rows, checkpoint)


def _check_model(recipe: Recipe) -> None:
    """An adapter would be merged as it is loaded, and the new one be saved as if it belonged to the bare model."""
    if recipe.model is None or recipe.model == BUNDLED:
        return
    home = find(recipe.model, recipe.revision)
    if home.file("config.json") is None and home.file("adapter_config.json") is not None:
        raise InputError(
            f"{recipe.model} is an adapter; go on with its run by --resume, or make one model of it first: "
            f"copo merge-adapter {recipe.model} DIR."
        )


def _scoring(recipe: Recipe) -> Scoring:
    given = recipe.group(SCORES)
    if given and recipe.method != "copo":
        raise InputError(f"The key {next(iter(given))!r} is for copo, and the method is {recipe.method}; leave it out.")
    if "scoring_batch_size" in given:
        given["batch_size"] = given.pop("scoring_batch_size")
    return Scoring(**given)


def _scoring_keys(scoring: Scoring) -> dict[str, Any]:
    values = asdict(scoring)
    size = values.pop("batch_size")
    return values | {"scoring_batch_size": None if size == "auto" else size}


def _rows(
    recipe: Recipe,
    path: str,
    method: Method,
    share: tuple[int, int],
    progress: Callable[[int, int], None] | None,
) -> list[dict]:
    rows = read_data(
        path,
        _KINDS.get(method.name, "answers"),
        recipe.image_root,
        # A token's log-probability is read off behind a picture.
        text_only=method.name == "grpo" and recipe.token_reward is None,
        share=share,
        progress=progress,
    )
    return with_system_prompt(rows, recipe.system_prompt)


def _check_pictures(rows: Sequence[dict], path: str | None, method: Method, scoring: Scoring) -> None:
    """Raises InputError for several pictures where the method takes one, or cannot tell which of them is meant."""
    for number, row in enumerate(rows, start=1):
        count = len(row.get("images") or ())
        if count and method.name not in _SEVERAL:
            raise InputError(
                f"{path} row {number} has {count} images, but {method.name} takes one; give each row one image, or "
                f"train with {', '.join(_SEVERAL)}."
            )
        # What is held against another picture: the others stay as they are.
        held_against = scoring.outcome == "grounding" or (scoring.outcome == "auto" and row.get("answer") is None)
        if count and method.name == "copo" and held_against and row.get("image_index") is None:
            raise InputError(
                f"{path} row {number} has {count} images and no 'image_index'; say which of them the outcome grounding "
                "asks about, from 0, or choose another outcome."
            )
        if method.name == "cepo" and stands_among_words(row["prompt"]):
            raise InputError(
                f"{path} row {number} has a picture among its words, which cepo takes apart; put it first, or train "
                "with another method."
            )


def _check_given(rows: Sequence[dict], path: str | None) -> None:
    """Raises InputError for a column that what a token reward is given would take the place of; pictures it may."""
    for number, row in enumerate(rows, start=1):
        for name in row:
            if name in GIVEN and name != "images":
                raise InputError(
                    f"{path} row {number} has a column {name!r}, a name under which a token_reward is given something "
                    "else; rename the column, or leave it out."
                )


def _check_outcome(rows: Sequence[dict], path: str | None, recipe: Recipe, scoring: Scoring) -> None:
    column = _NEEDS.get(scoring.outcome)
    if recipe.method != "copo" or column is None:
        return
    for number, row in enumerate(rows, start=1):
        if row.get(column) is None:
            raise InputError(
                f"{path} row {number} has no key {column!r}, which the outcome {scoring.outcome} needs; add it, or "
                "choose another outcome."
            )


def _check_sharding(method: Method, arguments: GRPOConfig | DPOConfig, token_reward: TokenReward | None) -> None:
    """What the trainer checks too, where the model would have been loaded in vain."""
    plugin = arguments.deepspeed_plugin
    version = 0
    if arguments.fsdp:
        given = arguments.fsdp_config
        version = int(given.get("version", 2)) if isinstance(given, dict) else 2
    elif os.environ.get("ACCELERATE_USE_FSDP", "").lower() in ("1", "true"):
        version = int(os.environ.get("FSDP_VERSION", "1"))
    check_sharding(
        method,
        fsdp=version,
        zero_stage=None if plugin is None else plugin.zero_stage,
        token_reward=token_reward is not None,
    )

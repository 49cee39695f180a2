"""All of a run that can be found right or wrong before the model is loaded."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from causal_attrib.errors import InputError
from causal_attrib.io.hub import find
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
from causal_attrib.training.recipe.method import CEPO, Method, SymMPO, check_whole_groups
from causal_attrib.training.scoring.policy_scores import Scoring
from causal_attrib.training.scoring.rewards import Reward, check_names, check_not_async, check_reward, choose_reward
from causal_attrib.training.scoring.token_reward import TokenReward
from causal_attrib.training.trainers.checkpoints import check_boundary, check_save_steps, updates_done
from causal_attrib.training.trainers.sharding import check_sharding
from causal_attrib.vlm.loading import BUNDLED

if TYPE_CHECKING:
    from trl import DPOConfig, GRPOConfig

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
        if isinstance(self.method, SymMPO) or not of_rollouts(self.arguments):
            return []
        said = gate_remark(self.method.keep, prompts_at_once(self.arguments))
        return [said] if said else []

    @property
    def resolved(self) -> dict[str, Any]:
        """Every key with the value it has in this run: a recipe that needs no defaults."""
        recipe = self.recipe
        values = {key.name: getattr(recipe, key.name) for key in keys()}
        values |= {name: getattr(self.arguments, name) for name in values if hasattr(self.arguments, name)}
        values["loss_type"] = None if isinstance(self.method, SymMPO) else values["loss_type"]
        for key in keys():
            if key.metadata["group"] in (METHOD, SCORES) and key.name != "method":
                values[key.name] = None
        values |= {
            name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self.method).items()
        }
        if not isinstance(self.method, SymMPO):
            values["delta"] = recipe.delta  # TRL's
        if self.method.name == "copo":
            values |= _scoring_keys(self.scoring)
        for name in ("data", "eval_file", "image_root"):
            if values[name] is not None:
                values[name] = str(Path(values[name]).resolve())
        return {name: value for name, value in values.items() if value is not None} | recipe.others


def make_plan(recipe: Recipe, resume: str | None = None) -> Plan:
    """Check a recipe and read its data.

    Args:
        resume: "last", or a checkpoint; None begins anew.

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
    if not isinstance(method, SymMPO) and of_rollouts(arguments):
        check_save_steps(arguments)
        check_whole_groups(method, arguments)
    _check_sharding(method, arguments)
    check_folder(recipe.folder)
    assert recipe.data is not None  # which has been checked
    rows, eval_rows = _rows(recipe, recipe.data, method), None
    if recipe.eval_file is not None:
        eval_rows = _rows(recipe, recipe.eval_file, method)
    for some, path in ((rows, recipe.data), (eval_rows or [], recipe.eval_file)):
        _check_pictures(some, path, method)
        check_columns(some)
        if not isinstance(method, SymMPO):
            check_names(some, path)
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


def _rows(recipe: Recipe, path: str, method: Method) -> list[dict]:
    rows = read_data(path, "contrasts" if isinstance(method, SymMPO) else "answers", recipe.image_root)
    return with_system_prompt(rows, recipe.system_prompt)


def _check_pictures(rows: Sequence[dict], path: str | None, method: Method) -> None:
    for number, row in enumerate(rows, start=1):
        if row.get("image") is None and method.name != "grpo":
            raise InputError(
                f"{path} row {number} has {len(row['images'])} images, but {method.name} takes one; give each row one "
                "image, or train with grpo."
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


def _check_sharding(method: Method, arguments: GRPOConfig | DPOConfig) -> None:
    """What the trainer checks too, where the model would have been loaded in vain."""
    plugin = arguments.deepspeed_plugin
    fsdp = bool(arguments.fsdp) or os.environ.get("ACCELERATE_USE_FSDP", "").lower() in ("1", "true")
    check_sharding(method, fsdp=fsdp, zero_stage=None if plugin is None else plugin.zero_stage)

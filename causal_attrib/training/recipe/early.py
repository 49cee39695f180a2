"""What of a recipe is wrong whatever the model: told before torch is imported, which takes seconds."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

from causal_attrib.choices import one_of
from causal_attrib.errors import InputError
from causal_attrib.scores.settings import CausalSettings
from causal_attrib.training.recipe.keys import METHODS, SCORES, Recipe
from causal_attrib.training.scoring.rewards import choose_reward


def check_early(recipe: Recipe) -> None:
    """Look at names, at settings of scores, and at whether the data are there; `make_plan` looks at all the rest.

    Raises:
        InputError: one of these is wrong.
    """
    one_of("method", recipe.method, METHODS)
    if recipe.method == "copo":
        given = recipe.group(SCORES)
        given["batch_size"] = given.pop("scoring_batch_size", CausalSettings.batch_size)
        CausalSettings(**{field.name: given[field.name] for field in fields(CausalSettings) if field.name in given})
    for name in recipe.reward:
        choose_reward(name)
    if recipe.data is None:
        raise InputError("There is no data to train on; give a file of rows with --data, or in the recipe.")
    for path in (recipe.data, recipe.eval_file):
        if path is not None and not Path(path).exists():
            raise InputError(f"There is no file {path}; check the path.")

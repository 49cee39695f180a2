"""What to try when a run does not fit into memory, in order."""

from __future__ import annotations

from collections.abc import Iterator

from causal_attrib.errors import InputError
from causal_attrib.training.recipe.arithmetic import filled
from causal_attrib.training.recipe.keys import PREFERENCES, Recipe
from causal_attrib.training.watch.phases import SCORE


def out_of_memory(recipe: Recipe, phase: str | None) -> InputError:
    """The error to raise: the phase that needed too much, and what makes it need less, the cheapest first."""
    where = f" for {phase}" if phase else ""
    return InputError(f"There was too little memory{where}; try, in this order: {'; '.join(hints(recipe, phase))}.")


def hints(recipe: Recipe, phase: str | None) -> Iterator[str]:
    """What can still be made smaller in this recipe.

    >>> recipe = Recipe(method="grpo", load_in_4bit=True, num_generations=2, max_completion_length=64)
    >>> print("; ".join(hints(recipe, None)))
    per_device_train_batch_size 4 (16 completions are sampled at once, in place of 32); smaller pictures
    """
    scores = "scoring_batch_size 1 (fewer edits per forward)"
    scored = recipe.method == "copo" and recipe.scoring_batch_size != 1
    if scored and phase == SCORE:
        yield scores
    half, backwards = recipe.per_device_train_batch_size // 2, filled(recipe.gradient_accumulation_steps)
    # Completions of a prompt are sampled at once.
    fits = recipe.method in PREFERENCES or half * backwards % recipe.num_generations == 0
    if half and fits:
        yield f"per_device_train_batch_size {half}" + (
            ""
            if recipe.method in PREFERENCES
            else f" ({half * backwards} completions are sampled at once, in place of "
            f"{recipe.per_device_train_batch_size * backwards})"
        )
    if recipe.max_completion_length > 64 and recipe.method not in PREFERENCES:
        yield f"max_completion_length {recipe.max_completion_length // 2}"
    yield "smaller pictures"
    if recipe.num_generations > 2 and recipe.method not in PREFERENCES:
        yield f"num_generations {recipe.num_generations // 2}"
    if recipe.full:
        yield "adapters, without --full"
    if not recipe.gradient_checkpointing:
        yield "gradient_checkpointing"
    if not (recipe.load_in_4bit or recipe.load_in_8bit):
        yield "load_in_4bit" + (" with adapters" if recipe.full else "")
    if scored and phase != SCORE:
        yield scores

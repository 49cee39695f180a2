"""How many prompts, completions and updates a run has."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from causal_attrib.errors import InputError

if TYPE_CHECKING:
    from trl import DPOConfig, GRPOConfig


def prompts_at_once(arguments: GRPOConfig) -> int:
    """Prompts that completions are sampled for at once, over all processes."""
    return arguments.generation_batch_size // arguments.num_generations


def updates_per_sampling(arguments: GRPOConfig) -> int:
    """Updates from one batch of completions to the next; 1 where an update takes several."""
    between = arguments.num_iterations * arguments.steps_per_generation
    return math.ceil(between / arguments.gradient_accumulation_steps)


def updates_per_epoch(arguments: GRPOConfig, rows: int) -> int:
    """Updates of one pass over the data, the last of which may be of fewer batches."""
    # TRL leaves out the prompts that do not fill a sampling.
    samplings = rows // prompts_at_once(arguments)
    batches = samplings * arguments.num_iterations * arguments.steps_per_generation
    return math.ceil(batches / arguments.gradient_accumulation_steps)


def updates(arguments: GRPOConfig | DPOConfig, rows: int) -> int:
    """Updates of the whole run.

    Raises:
        InputError: there are too few rows for one.
    """
    if hasattr(arguments, "num_generations"):
        per_epoch = updates_per_epoch(arguments, rows)
        if not per_epoch:
            raise InputError(
                f"There are {rows} rows, but completions of {prompts_at_once(arguments)} prompts are sampled at once; "
                "give more rows, or lower per_device_train_batch_size or gradient_accumulation_steps."
            )
    else:
        batches = math.ceil(rows / (arguments.per_device_train_batch_size * arguments.world_size))
        per_epoch = math.ceil(batches / arguments.gradient_accumulation_steps)
    return arguments.max_steps if arguments.max_steps > 0 else math.ceil(arguments.num_train_epochs * per_epoch)

"""How many prompts, completions and updates a run has."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeGuard

from causal_attrib.errors import InputError

if TYPE_CHECKING:
    from trl import DPOConfig, GRPOConfig

# By how much the share of prompts that a gate keeps may be more than was asked for.
ROUGHLY = 0.05


def of_rollouts(arguments: GRPOConfig | DPOConfig) -> TypeGuard[GRPOConfig]:
    """Whether completions are sampled, as all methods do but symmpo."""
    return hasattr(arguments, "num_generations")


def filled(value: int | None) -> int:
    """A number that TRL's config has worked out where it was left out."""
    assert value is not None
    return value


def prompts_at_once(arguments: GRPOConfig) -> int:
    """Prompts that completions are sampled for at once, over all processes."""
    return filled(arguments.generation_batch_size) // filled(arguments.num_generations)


def gate_remark(keep: float, prompts: int) -> str | None:
    """What to say where the gate cannot keep about the share that is asked for, since it sees too few prompts.

    >>> print(gate_remark(0.6, 4))
    The gate keeps 3 of the 4 prompts that are sampled at once, 75% and not 60%; sample 5 at once (...
    >>> gate_remark(0.6, 5) is gate_remark(1.0, 1) is None
    True
    """
    kept = gated(keep, prompts)
    if kept / prompts - keep <= ROUGHLY:
        return None
    # In a pool of 20 no share is off by more than a twentieth.
    enough = next(n for n in range(prompts + 1, prompts + 21) if gated(keep, n) / n - keep <= ROUGHLY)
    at_once = "all" if kept == prompts else f"{kept}"
    return (
        f"The gate keeps {at_once} of the {prompts} prompts that are sampled at once, {kept / prompts:.0%} and not "
        f"{keep:.0%}; sample {enough} at once (gradient_accumulation_steps), or choose prompts with copo select."
    )


def gated(keep: float, prompts: int) -> int:
    """How many of so many prompts the gate keeps (`objectives.variance_gate`)."""
    # 0.55 * 100 is 55.00000000000001 in floats, of which ceil makes 56.
    return math.ceil(keep * prompts - 1e-9)


def updates_per_sampling(arguments: GRPOConfig) -> int:
    """Updates from one batch of completions to the next; 1 where an update takes several."""
    between = arguments.num_iterations * filled(arguments.steps_per_generation)
    return math.ceil(between / arguments.gradient_accumulation_steps)


def updates_per_epoch(arguments: GRPOConfig, rows: int) -> int:
    """Updates of one pass over the data, the last of which may be of fewer batches."""
    # TRL leaves out the prompts that do not fill a sampling.
    samplings = rows // prompts_at_once(arguments)
    batches = samplings * arguments.num_iterations * filled(arguments.steps_per_generation)
    return math.ceil(batches / arguments.gradient_accumulation_steps)


def updates(arguments: GRPOConfig | DPOConfig, rows: int) -> int:
    """Updates of the whole run.

    Raises:
        InputError: there are too few rows for one.
    """
    if of_rollouts(arguments):
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

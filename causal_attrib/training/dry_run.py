"""A run in small: two batches through every phase, with its seconds and its memory.

Batches are as large as in the run itself and of its own rows, so that what does not fit shows here, and that scoring
shares as little between prompts as it will. The first batch warms up; the second is measured.
"""

from __future__ import annotations

import copy
import dataclasses
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from causal_attrib.training.plan import Plan
from causal_attrib.training.recipe.arithmetic import of_rollouts, prompts_at_once, updates_per_sampling
from causal_attrib.training.run import SAMPLES, build, explained
from causal_attrib.training.trainers.copo_trainer import CopoGRPOTrainer
from causal_attrib.training.trainers.preference_trainer import PreferenceTrainer
from causal_attrib.training.watch.completions import Sample, samples
from causal_attrib.training.watch.drawing import DrawTraining
from causal_attrib.training.watch.early_signs import signs
from causal_attrib.training.watch.loss_check import loss_sign
from causal_attrib.training.watch.phases import REST, REWARD, SAMPLE, SCORE, UPDATE
from causal_attrib.vlm import VLM
from causal_attrib.vlm.loading import load

ROWS = 2


@dataclass(frozen=True)
class DryRun:
    """What a dry run found.

    phases:    (name, seconds per update, bytes at most); of what is not part of an update, seconds once
    seconds:   of one update
    updates:   of the whole run
    once:      seconds of what comes beside the updates: loading, checkpoints with their drawings, evaluation, and the
               check of the loss
    saved:     bytes of the model as it is saved
    signs:     sentences that warn
    samples:   completions that were sampled
    """

    phases: list[tuple[str, float, int]]
    seconds: float
    updates: int
    once: float
    saved: int
    signs: list[str]
    samples: list[Sample]

    @property
    def total(self) -> float:
        """Seconds of the whole run."""
        return self.seconds * self.updates + self.once


def dry_run(plan: Plan, load: Callable[..., VLM] = load) -> DryRun:
    """Put two batches of a plan through every phase; nothing is left behind.

    Raises:
        InputError: as `train`.
    """
    with tempfile.TemporaryDirectory(dir=plan.recipe.output_dir) as folder:
        began = time.perf_counter()
        small, per_cycle = _small(plan, folder)
        trainer = build(small, load)
        trainer.clock.read()
        phases = [("load", time.perf_counter() - began, trainer.clock.peak[REST])]
        with explained(plan.recipe, trainer.clock):
            trainer.train()
            lines = [line for line in trainer.state.log_history if "loss" in line]
            measured = lines[-per_cycle:]
            for name in (SAMPLE, REWARD, SCORE, UPDATE, REST):
                seconds = sum(line.get(f"seconds/{name.split()[0]}", 0.0) for line in measured) / per_cycle
                if seconds:
                    phases.append((name, seconds, trainer.clock.peak[name]))
            per_update = sum(seconds for _, seconds, _ in phases[1:])
            once = phases[0][1]
            if plan.eval_rows is not None:
                phases.append(_timed(trainer, "evaluation of two rows", trainer.evaluate))
                times = plan.updates // int(plan.arguments.eval_steps or plan.updates)
                once += times * phases[-1][1] * len(plan.eval_rows) / min(ROWS, len(plan.eval_rows))
            phases.append(_timed(trainer, "save the model", lambda: _saved(trainer, plan, Path(folder))))
            once += (1 + plan.updates // max(1, int(plan.arguments.save_steps))) * phases[-1][1]
            began = time.perf_counter()
            of_loss = loss_sign(trainer) if isinstance(trainer, CopoGRPOTrainer) else None
            once += time.perf_counter() - began
        shown, warned = [], [*plan.remarks, *(sentence for _, sentence in signs(lines))]
        if of_loss:
            warned.append(of_loss)
        if isinstance(trainer, CopoGRPOTrainer):
            tokenizer = trainer.processing_class.tokenizer
            if trainer.sampled is not None:
                shown = samples(trainer.sampled, tokenizer, ROWS, trainer.state.global_step, trainer.num_generations)
        return DryRun(
            phases=phases,
            seconds=per_update,
            updates=plan.updates,
            once=once,
            saved=sum(file.stat().st_size for file in Path(folder).rglob("*.safetensors")),
            signs=warned,
            samples=shown,
        )


def _small(plan: Plan, folder: str) -> tuple[Plan, int]:
    """The plan for two batches, and the updates of each."""
    arguments = copy.copy(plan.arguments)
    if of_rollouts(arguments):
        per_cycle, at_once = updates_per_sampling(arguments), prompts_at_once(arguments)
    else:
        per_cycle = 1
        at_once = arguments.per_device_train_batch_size * arguments.gradient_accumulation_steps * arguments.world_size
    arguments.output_dir = folder
    arguments.max_steps = 2 * per_cycle
    arguments.save_strategy = arguments.eval_strategy = "no"
    arguments.logging_steps, arguments.report_to = 1, []
    rows = [plan.rows[n % len(plan.rows)] for n in range(2 * at_once)]
    eval_rows = None if plan.eval_rows is None else plan.eval_rows[:ROWS]
    return dataclasses.replace(plan, arguments=arguments, rows=rows, eval_rows=eval_rows), per_cycle


def _saved(trainer: CopoGRPOTrainer | PreferenceTrainer, plan: Plan, folder: Path) -> None:
    """What a checkpoint does: it saves, and draws what was logged."""
    trainer.save_model(str(folder))
    DrawTraining(folder, folder / SAMPLES, plan.resolved).draw(trainer.state)


def _timed(
    trainer: CopoGRPOTrainer | PreferenceTrainer, name: str, work: Callable[[], object]
) -> tuple[str, float, int]:
    began = time.perf_counter()
    with trainer.clock.phase(name):
        work()
    return name, time.perf_counter() - began, trainer.clock.peak[name]

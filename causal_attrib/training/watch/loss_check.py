"""TRL's loss held against our formula, on a batch of the run: the alarm for what would train wrongly without an error.

TRL does not promise what it makes of advantages of tokens, and it reads completions in padded batches through a forward
that it has changed. Here a batch that TRL has prepared gets advantages and old log-probabilities that differ from token
to token, so that the loss depends on each of them; ours takes its log-probabilities from the unpadded completions, one
by one, through the model's own forward.

Axes: B completions, T tokens.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import trl
from torch import Tensor
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from causal_attrib.objectives import LOSS_TYPES, aggregate, clipped_surrogate, kl_to_reference
from causal_attrib.training.scoring.rollout import PromptMismatch
from causal_attrib.training.trainers.copo_trainer import ROW, CopoGRPOTrainer, pictures_of
from causal_attrib.vlm.modes import eval_mode

# Of the mean size of a token's loss; log-probabilities that are off by one place move the loss by .1 of it and more.
TOLERANCE = 1e-3
TOLERANCE_16_BIT = 0.05


@dataclass(frozen=True)
class LossCheck:
    """Two losses of one batch, and how far apart rounding may take them."""

    theirs: float
    ours: float
    tolerance: float

    @property
    def sign(self) -> str | None:
        """A sentence that warns, or None if all is well."""
        # The other way round NaN would pass.
        if abs(self.theirs - self.ours) <= self.tolerance:
            return None
        return (
            f"TRL {trl.__version__} makes a loss of {self.theirs:.4f} of a batch for which the formula gives "
            f"{self.ours:.4f}: it does not train this model as it should. Try another version of TRL or transformers, "
            "or another model."
        )


class CheckLoss(TrainerCallback):
    """Holds the loss of the first update against the formula.

    Args:
        alarm: takes the sentence.
    """

    def __init__(self, trainer: CopoGRPOTrainer, alarm: Callable[[str], None]):
        self.trainer = trainer
        self.alarm = alarm
        self.done = False

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if self.done:
            return
        self.done = True
        sign = loss_sign(self.trainer)
        if sign and state.is_world_process_zero:
            self.alarm(sign)


def loss_sign(trainer: CopoGRPOTrainer) -> str | None:
    """What is to be said of TRL's loss, or None; also where another version of TRL does not let it be checked."""
    try:
        reason = uncovered(trainer)
        check = check_loss(trainer)
    except (AttributeError, KeyError, TypeError) as error:
        return f"The loss of TRL {trl.__version__} was not held against the formula, since TRL has changed ({error})."
    if check is not None:
        return check.sign
    reason = reason or "rows without a picture, or a prompt that TRL writes in a way of its own"
    return (
        f"The loss of TRL {trl.__version__} was not held against the formula, which does not cover {reason}; a dry run "
        "without it can."
    )


def check_loss(trainer: CopoGRPOTrainer) -> LossCheck | None:
    """Hold TRL's loss of the last batch against ours; None where our formula or our reading has no counterpart.

    That is so for what `uncovered` names, and for rows without a picture, or whose prompt TRL writes in a way of its
    own.
    """
    if uncovered(trainer):
        return None
    batch = trainer.last_batch
    mask_BT = batch["completion_mask"]
    logprob_BT = _logprobs(trainer)
    # TRL's loss is taken by all processes or by none: it waits for the others.
    read = torch.tensor([logprob_BT is not None], device=mask_BT.device)
    if not trainer.accelerator.gather(read).all() or logprob_BT is None:
        return None
    advantage_BT, ratio_BT = _probe(mask_BT)
    old_BT, reference_BT = (logprob_BT - ratio_BT.log()) * mask_BT, (logprob_BT - 0.5) * mask_BT
    changed = {"advantages": advantage_BT, "old_per_token_logps": old_BT, "ref_per_token_logps": reference_BT}
    # Of all tokens, also of those that the gate holds back, and divided by their number.
    changed["num_items_in_batch"] = mask_BT.sum() * trainer.accelerator.num_processes
    probed = {name: value for name, value in batch.items() if name not in (ROW, "tool_mask")} | changed
    theirs = _loss(trainer, probed)
    loss_BT = -clipped_surrogate(
        logprob_BT,
        old_BT,
        advantage_BT,
        mask_BT,
        epsilon_low=trainer.epsilon_low,
        epsilon_high=trainer.epsilon_high,
    )
    if trainer.beta:
        weight_BT = ratio_BT if trainer.args.use_bias_correction_kl else 1
        loss_BT = loss_BT + trainer.beta * weight_BT * kl_to_reference(logprob_BT, reference_BT, mask_BT)
    ours, size = (
        aggregate(
            one_BT,
            mask_BT,
            trainer.loss_type,
            max_length=trainer.max_completion_length,
            batch_tokens=mask_BT.sum(),
        ).item()
        for one_BT in (loss_BT, loss_BT.abs())
    )
    exact = trainer.model.dtype == torch.float32 and not (trainer.args.bf16 or trainer.args.fp16)
    return LossCheck(theirs, ours, size * (TOLERANCE if exact else TOLERANCE_16_BIT))


def _logprobs(trainer: CopoGRPOTrainer) -> Tensor | None:
    """Ours (B, T), or None where a completion of this process cannot be read."""
    rows, batch = trainer.sampled.rows if trainer.sampled else [], trainer.last_batch
    if not all(pictures_of(row) for row in rows):
        return None
    numbers = batch[ROW].tolist()
    rollouts = [trainer.rollout_of(rows[number], batch, b, counts=True) for b, number in enumerate(numbers)]
    try:
        return trainer.scorer.logprobs(rollouts, batch["completion_ids"].shape[1], trainer.temperature)
    except PromptMismatch:
        return None


def _loss(trainer: CopoGRPOTrainer, batch: dict) -> float:
    """TRL's, without dropout, and without a trace in what is logged."""
    logged = dict(trainer._metrics["eval"])
    trainer._metrics["eval"].clear()
    try:
        with eval_mode(trainer.model), torch.no_grad():
            return trainer.compute_loss(trainer.model, batch).item()
    finally:
        trainer._metrics["eval"].clear()
        trainer._metrics["eval"].update(logged)


def uncovered(trainer: CopoGRPOTrainer) -> str | None:
    """What of this run the formula does not cover, in words; None if it covers all."""
    arguments = trainer.args
    reasons = {
        "vLLM": trainer.use_vllm,
        "FSDP": trainer.is_fsdp_enabled,
        "DeepSpeed": trainer.is_deepspeed_enabled,
        f"loss_type {trainer.loss_type}": trainer.loss_type not in LOSS_TYPES,
        "importance_sampling_level sequence": trainer.importance_sampling_level != "token",
        "top_entropy_quantile": arguments.top_entropy_quantile != 1,
        "delta": arguments.delta is not None,
        "off_policy_mask_threshold": arguments.off_policy_mask_threshold is not None,
        "an entropy bonus": arguments.entropy_coef != 0 or arguments.use_adaptive_entropy,
        "the loss of a mixture's router": trainer.aux_loss_enabled,
    }
    return ", ".join(name for name, holds in reasons.items() if holds) or None


def _probe(mask_BT: Tensor) -> tuple[Tensor, Tensor]:
    """Advantages of both signs and ratios, both clipped and not, such that no two tokens side by side have the same."""
    length = mask_BT.shape[1]
    place_BT = torch.arange(mask_BT.numel(), device=mask_BT.device).view(-1, length)
    advantage_BT = torch.where(place_BT % 3 == 0, 2.0, -1.0)
    ratio_BT = 1 + (place_BT % 7) / 14
    return advantage_BT * mask_BT, ratio_BT

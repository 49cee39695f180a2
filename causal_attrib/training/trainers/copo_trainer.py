"""TRL's GRPO trainer with one advantage per token.

Two of its methods are overridden, both by calling the original and working on what it returns, so that nothing of TRL
is copied. That its loss takes advantages (B, T) beside (B,) is not documented by TRL; tests/training holds it to that.

Axes: B completions, T tokens, N prompts, G completions of a prompt, F reward functions.
"""

from __future__ import annotations

import functools
import warnings

import torch
import trl
from packaging.version import Version
from torch import Tensor
from transformers import PreTrainedModel
from trl import GRPOTrainer

from causal_attrib.errors import InputError
from causal_attrib.objectives import flipped_share, variance_gate
from causal_attrib.training.recipe.method import COPO, GRPO, check_whole_groups
from causal_attrib.training.scoring.policy_scores import PolicyScorer, PolicyScores, Scoring
from causal_attrib.training.scoring.rollout import Rollout
from causal_attrib.training.trainers.checkpoints import check_save_steps
from causal_attrib.training.trainers.offline import OfflineMixin
from causal_attrib.training.trainers.resume import ResumeMixin
from causal_attrib.training.trainers.sharding import check_sharding
from causal_attrib.training.watch.completions import SampledBatch

# The versions of TRL that the tests have run with, from the first on and before the second.
TESTED = ("1.16", "1.17")


class TokenAdvantageMixin:
    """Put it before `GRPOTrainer`, or a subclass that keeps `_generate_and_score_completions`.

    Rows need the column `image` (or `images` with one in it) where the method scores completions; `answer`, `question`
    and `objects` are what `Rollout` takes.

    Args:
        method: what to make of advantages (`training.recipe.method`).
        scoring: how completions are scored, for methods that need it.

    Raises:
        InputError: settings of TRL that do not go with this.
    """

    def __init__(self, *args, method: GRPO | None = None, scoring: Scoring | None = None, **kwargs):
        super().__init__(*args, **kwargs)
        self.method = method or COPO()
        self.scoring = scoring or Scoring()
        plugin = self.accelerator.state.deepspeed_plugin if self.is_deepspeed_enabled else None
        check_sharding(self.method, fsdp=self.is_fsdp_enabled, zero_stage=None if plugin is None else plugin.zero_stage)
        check_save_steps(self.args)
        check_whole_groups(self.method, self.args)
        if not Version(TESTED[0]) <= Version(trl.__version__) < Version(TESTED[1]):
            warnings.warn(
                f"TRL {trl.__version__} is none of the versions this was tested with (from {TESTED[0]}, before "
                f"{TESTED[1]}); run tests/training before you trust a long run.",
                stacklevel=2,
            )

    def _calculate_rewards(self, *args, **kwargs) -> Tensor:
        # Gathered over all processes, which the gate needs.
        self._rewards_BF = super()._calculate_rewards(*args, **kwargs)
        return self._rewards_BF

    def _generate_and_score_completions(self, inputs: list[dict]) -> dict:
        batch = super()._generate_and_score_completions(inputs)
        if batch["advantages"].ndim != 1:
            raise RuntimeError(f"TRL gives advantages {tuple(batch['advantages'].shape)}, one per completion expected.")
        training = self.model.training
        group = self.num_generations if training else self.num_generations_eval
        mask_BT = batch["completion_mask"] * batch.get("tool_mask", 1)
        if training and self.method.keep < 1:
            # First of all: what is left out need not be scored.
            mask_BT = self._gate(batch, mask_BT, group)
        scores = None
        if self.method.needs_effects or self.method.needs_entropy:
            scores = self._scores(inputs, batch, mask_BT)
        before_B = batch["advantages"]
        after = self.method.token_advantage(before_B, scores, mask_BT, group)
        if after.ndim == 2:
            batch["advantages"] = (after * mask_BT).to(before_B.dtype)
        if scores is not None:
            self._log_scores(scores, before_B, batch["advantages"], mask_BT)
        if not training:
            return batch
        reward_B = _total_reward(self._rewards_BF, self.reward_weights.to(self._rewards_BF.device), group)
        self.sampled = SampledBatch(
            rows=inputs,
            ids_BT=batch["completion_ids"],
            mask_BT=batch["completion_mask"],
            reward_B=reward_B[self._here(len(inputs))],
            advantage_B=before_B,
            added_BT=batch["advantages"] - before_B[:, None] * mask_BT if after.ndim == 2 else None,
        )
        return batch

    def _here(self, count: int) -> slice:
        """Which of the rows gathered over all processes are this one's."""
        return slice(self.accelerator.process_index * count, (self.accelerator.process_index + 1) * count)

    # -- scores -----------------------------------------------------------------------------------------------------

    @functools.cached_property
    def scorer(self) -> PolicyScorer:
        model = self.accelerator.unwrap_model(self.model)
        # Of an adapted model the part that transformers knows; the adapters are in it.
        model = model if isinstance(model, PreTrainedModel) else model.get_base_model()
        return PolicyScorer(model, self.processing_class, self.scoring)

    def _scores(self, inputs: list[dict], batch: dict, mask_BT: Tensor) -> PolicyScores:
        return self.scorer(
            [self.rollout_of(row, batch, b, counts=bool(mask_BT[b].any())) for b, row in enumerate(inputs)],
            mask_BT.shape[1],
            effects=self.method.needs_effects,
            entropy=self.method.needs_entropy,
            # The same after a resume; another at every step.
            seed=self.args.seed + self.state.global_step,
        )

    def rollout_of(self, row: dict, batch: dict, b: int, *, counts: bool) -> Rollout:
        """Completion `b`, without its tokens if it does not count for the loss: those are not scored."""
        pictures = pictures_of(row)
        if len(pictures) != 1:
            raise InputError(
                f"A row has {len(pictures)} images, but {self.method.name} scores completions of one; give each row "
                "one image, or train with grpo."
            )
        length = int(batch["completion_mask"][b].sum()) if counts else 0
        return Rollout(
            image=pictures[0],
            messages=row["prompt"],
            completion_ids=tuple(batch["completion_ids"][b, :length].tolist()),
            answer=row.get("answer"),
            question=row.get("question"),
            objects=row.get("objects"),
            prompt_ids=tuple(batch["prompt_ids"][b][batch["prompt_mask"][b].bool()].tolist()),
            options=self.chat_template_kwargs,
        )

    def _log_scores(self, scores: PolicyScores, before_B: Tensor, after: Tensor, mask_BT: Tensor) -> None:
        """Means over all processes, under the names copo/..."""
        tokens, scored = mask_BT.sum(), scores.scored_BT.sum()
        added_BT = (after - before_B[:, None]) * mask_BT
        counts_B = mask_BT.any(1)
        sums = [tokens, added_BT.sum(), added_BT.abs().sum(), counts_B.sum()]
        if self.method.needs_effects:
            flipped = flipped_share(before_B, after, scores.scored_BT) * scored
            unscored = (counts_B & ~scores.scored_BT.any(1)).sum()
            sums += [scored, scores.sufficiency_BT.sum(), scores.necessity_BT.sum(), flipped, unscored]
        sums = torch.tensor([float(x) for x in sums], device=before_B.device)
        tokens, added, moved, completions, *effects = self.accelerator.reduce(sums, reduction="sum").tolist()
        metrics = {"advantage_added": added / max(tokens, 1), "advantage_moved": moved / max(tokens, 1)}
        if effects:
            scored, sufficiency, necessity, flipped, unscored = effects
            metrics |= {
                "sufficiency": sufficiency / max(scored, 1),
                "necessity": necessity / max(scored, 1),
                "flipped_share": flipped / max(scored, 1),
                "scored_tokens": scored / max(tokens, 1),
                "unscored_completions": unscored / max(completions, 1),
            }
        seconds = torch.tensor(scores.seconds, device=before_B.device)
        metrics["score_seconds"] = self.accelerator.gather(seconds).max().item()
        for name, value in metrics.items():
            self._metrics["train" if self.model.training else "eval"][f"copo/{name}"].append(value)

    # -- the gate ---------------------------------------------------------------------------------------------------

    def _gate(self, batch: dict, mask_BT: Tensor, group: int) -> Tensor:
        """Leave the completions of prompts whose rewards vary least out of the loss, not out of what is attended to.

        Returns:
            The new mask of what counts for the loss.
        """
        reward_B = _total_reward(self._rewards_BF, self.reward_weights.to(self._rewards_BF.device), group)
        kept_B = variance_gate(reward_B, group, self.method.keep).repeat_interleave(group)
        mask_BT = mask_BT * kept_B[self._here(len(mask_BT)), None]
        batch["tool_mask"] = mask_BT
        batch["num_items_in_batch"] = self.accelerator.gather(mask_BT.sum()).sum()
        self._metrics["train"]["copo/prompts_kept"].append(kept_B.float().mean().item())
        return mask_BT


def pictures_of(row: dict) -> list:
    """The pictures of a row, as TRL finds them."""
    return [row["image"]] if row.get("image") is not None else row.get("images") or []


def _total_reward(rewards_BF: Tensor, weight_F: Tensor, group: int) -> Tensor:
    """The reward (B,) of each completion; one that no function could judge gets the mean of its group."""
    reward_B = (rewards_BF * weight_F).nansum(1)
    reward_NG = reward_B.masked_fill(rewards_BF.isnan().all(1), torch.nan).view(-1, group)
    mean_N1 = reward_NG.nanmean(1, keepdim=True).nan_to_num(0.0)
    return torch.where(reward_NG.isnan(), mean_N1, reward_NG).flatten()


class CopoGRPOTrainer(TokenAdvantageMixin, OfflineMixin, ResumeMixin, GRPOTrainer):
    """`trl.GRPOTrainer` with the methods grpo, copo, hero and cepo; see `TokenAdvantageMixin`."""

    _tag_names = ["trl", "copo"]

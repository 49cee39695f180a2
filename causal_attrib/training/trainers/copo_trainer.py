"""TRL's GRPO trainer with one advantage per token.

Methods of TRL are overridden by calling the original and working on what it returns, so that nothing of TRL is copied.
That its loss takes advantages (B, T) beside (B,) is not documented by TRL; tests/training holds it to that.

Axes: B completions, T tokens, N prompts, G completions of a prompt, F reward functions.
"""

from __future__ import annotations

import functools
import warnings
from typing import Any, NamedTuple

import torch
import trl
from packaging.version import Version
from torch import Tensor, nn
from transformers import PreTrainedModel, ProcessorMixin
from trl import GRPOConfig, GRPOTrainer

from causal_attrib.errors import InputError
from causal_attrib.objectives import aggregate, flipped_share, sampled_dependency, variance_gate
from causal_attrib.training.data.places import bare
from causal_attrib.training.recipe.arithmetic import filled
from causal_attrib.training.recipe.method import COPO, GRPO, check_loss_type, check_whole_groups
from causal_attrib.training.scoring.policy_scores import PolicyScorer, PolicyScores, Scoring
from causal_attrib.training.scoring.rollout import Rollout
from causal_attrib.training.scoring.spoilt import Spoil, like_batch, spoilt_inputs
from causal_attrib.training.scoring.token_reward import TokenReward
from causal_attrib.training.trainers.checkpoints import check_save_steps
from causal_attrib.training.trainers.files import OwnFiles
from causal_attrib.training.trainers.frozen_norms import keep_frozen_norms
from causal_attrib.training.trainers.gathering import gathered
from causal_attrib.training.trainers.sharding import LayersOfTheModel, check_sharding
from causal_attrib.training.trainers.towers import see_once, without_none
from causal_attrib.training.watch.completions import SampledBatch
from causal_attrib.training.watch.phases import REWARD, SAMPLE, SCORE, UPDATE, PhaseClock

# The versions of TRL that the tests have run with, from the first on and before the second.
TESTED = ("1.16", "1.17")

# In a batch: which of the rows that were sampled for each completion belongs to. TRL shuffles and splits it with the
# rest.
ROW = "copo_row"


class _Read(NamedTuple):
    """Log-probabilities (B, T) that TRL has read for a loss, with their gradient, and how it asked for them."""

    logprob_BT: Tensor
    args: tuple
    kwargs: dict[str, Any]


class CopoGRPOTrainer(LayersOfTheModel, OwnFiles, GRPOTrainer):
    """`trl.GRPOTrainer` with the methods grpo, copo, hero, cepo, vppo, pgpo and papo.

    An update has these phases, which are the methods below in this order; `clock` knows the seconds of each, and they
    are logged as seconds/...:

        sample completions  TRL's
        rewards             TRL's, of every completion
        gate                which prompts count for the loss (hero)
        scores              what each token did to the outcome, how sure the model was of it, or how much it depends
                            on the picture
        advantages          of each completion by TRL, and of each token by the method and a token reward
        update              TRL's loss with what the method adds to it (vppo, papo), and its gradient

    Rows need the column `image` (or `images`) where the method scores completions; `image_index`, `answer`, `question`
    and `objects` are what `Rollout` takes. All other arguments are those of `trl.GRPOTrainer`.

    Args:
        method: what to make of advantages (`training.recipe.method`).
        scoring: how completions are scored, for methods that need it.
        token_reward: is added to the advantages that the method makes.

    Attributes:
        clock: of the phases.
        sampled: the completions of the last batch that was sampled.
        last_batch: what the last loss of the training was taken of.

    Raises:
        InputError: settings of TRL that do not go with this.
    """

    _tag_names = ["trl", "copo"]

    # As TRL has them once it is made.
    args: GRPOConfig
    model: PreTrainedModel
    processing_class: ProcessorMixin
    num_generations: int
    num_generations_eval: int
    chat_template_kwargs: dict[str, Any]

    def __init__(
        self,
        *args: Any,
        method: GRPO | None = None,
        scoring: Scoring | None = None,
        token_reward: TokenReward | None = None,
        **kwargs: Any,
    ) -> None:
        self.clock = PhaseClock()
        self.sampled: SampledBatch | None = None
        self.last_batch: dict[str, Any] = {}
        self._read: _Read | None = None
        super().__init__(*args, **kwargs)
        keep_frozen_norms(self.model)
        self.method = method or COPO()
        self.token_reward = token_reward
        self.scoring = scoring or Scoring()
        plugin = self.accelerator.state.deepspeed_plugin if self.is_deepspeed_enabled else None
        fsdp = self.accelerator.state.fsdp_plugin.fsdp_version if self.is_fsdp_enabled else 0
        check_sharding(
            self.method,
            fsdp=fsdp,
            zero_stage=None if plugin is None else plugin.zero_stage,
            token_reward=token_reward is not None,
        )
        check_save_steps(self.args)
        check_whole_groups(self.method, self.args)
        check_loss_type(self.method, self.loss_type)
        see_once(self.model)
        for model in filter(None, (self.model, self.ref_model)):
            without_none(model)
        if not Version(TESTED[0]) <= Version(trl.__version__) < Version(TESTED[1]):
            warnings.warn(
                f"TRL {trl.__version__} is none of the versions this was tested with (from {TESTED[0]}, before "
                f"{TESTED[1]}); run tests/training before you trust a long run.",
                stacklevel=2,
            )

    # -- one update, phase by phase -------------------------------------------------------------------------------

    def training_step(self, *args: Any, **kwargs: Any) -> Tensor:
        # TRL samples within it, whenever the completions before have been used up.
        with self.clock.phase(UPDATE):
            return super().training_step(*args, **kwargs)

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        inputs = [row | {"prompt": bare(row["prompt"])} if isinstance(row["prompt"], list) else row for row in inputs]
        with self.clock.phase(SAMPLE):
            self._agree_on_pictures(inputs)
            batch = super()._generate_and_score_completions(inputs)
            if batch["advantages"].ndim != 1:
                raise RuntimeError(
                    f"TRL gives advantages {tuple(batch['advantages'].shape)}, one per completion expected."
                )
            batch[ROW] = torch.arange(len(inputs))
            # The same after a resume; another at every step.
            self._seed = self.args.seed + self.state.global_step
            mask_BT = self._gate(batch)
            scores = self._scores(inputs, batch, mask_BT)
            self._set_advantages(inputs, batch, scores, mask_BT)
            return batch

    def _agree_on_pictures(self, inputs: list[dict[str, Any]]) -> None:
        """Keep pictures out of TRL's table of completions where a process has none.

        TRL 1.16 gathers them for it on the processes that have some, which would wait for ever for one without.
        """
        if self.accelerator.num_processes > 1 and self.args.log_multimodal:
            has = torch.tensor([any(map(pictures_of, inputs))], device=self.accelerator.device)
            self.log_multimodal = bool(self.accelerator.gather(has).all())

    def _tokenize_prompts(self, *args: Any, **kwargs: Any) -> Any:
        # What TRL 1.16 says of a prompt without pictures beside one with some, no processor of transformers takes.
        ids, images, fields = super()._tokenize_prompts(*args, **kwargs)
        return ids, images and [of_prompt or [] for of_prompt in images], fields

    def _generate_single_turn(self, prompt_ids: list, images: list | None, *args: Any, **kwargs: Any) -> Any:
        # vLLM takes no list without one.
        return super()._generate_single_turn(
            prompt_ids, images and [of_prompt or None for of_prompt in images], *args, **kwargs
        )

    def _calculate_rewards(self, *args: Any, **kwargs: Any) -> Tensor:
        with self.clock.phase(REWARD):
            # Gathered over all processes, which the gate needs.
            self._rewards_BF = super()._calculate_rewards(*args, **kwargs)
            return self._rewards_BF

    def _gate(self, batch: dict[str, Any]) -> Tensor:
        """Leave the completions of prompts whose rewards vary least out of the loss, not out of what is attended to.

        It comes before the scores, since what is left out need not be scored.

        Returns:
            Which tokens count for the loss (B, T).
        """
        mask_BT = batch["completion_mask"] * batch.get("tool_mask", 1)
        if not self.model.training or self.method.keep == 1:
            return mask_BT
        kept_B = variance_gate(self._total_reward(), self._group, self.method.keep).repeat_interleave(self._group)
        mask_BT = mask_BT * kept_B[self._here(len(mask_BT)), None]
        batch["tool_mask"] = mask_BT
        batch["num_items_in_batch"] = self.accelerator.gather(mask_BT.sum()).sum()
        self._metrics["train"]["copo/prompts_kept"].append(kept_B.float().mean().item())
        return mask_BT

    def _scores(self, inputs: list[dict[str, Any]], batch: dict[str, Any], mask_BT: Tensor) -> PolicyScores | None:
        """What the method wants to know of each token, and the token reward; None if they want nothing."""
        method, dependence = self.method, self.method.dependence
        if not (method.needs_effects or method.needs_entropy or dependence or self.token_reward):
            return None
        with self.clock.phase(SCORE), gathered(self.model_wrapped):
            return self.scorer(
                self._rollouts(inputs, batch, mask_BT),
                mask_BT.shape[1],
                effects=method.needs_effects,
                entropy=method.needs_entropy,
                logprob=self.token_reward is not None,
                dependence=dependence,
                seed=self._seed,
            )

    def _set_advantages(
        self, inputs: list[dict[str, Any]], batch: dict[str, Any], scores: PolicyScores | None, mask_BT: Tensor
    ) -> None:
        """Put one advantage per token into the batch, if there are such."""
        before_B = batch["advantages"]
        after = self.method.token_advantage(before_B, scores, mask_BT, self._group)
        if self.token_reward is not None:
            after = after if after.ndim == 2 else after[:, None]
            after = after + self._token_rewards(inputs, batch, scores, mask_BT)
        per_token = after.ndim == 2
        if per_token:
            batch["advantages"] = (after * mask_BT).to(before_B.dtype)
        if scores is not None:
            self._log_scores(scores, before_B, batch["advantages"], mask_BT)
        if self.model.training:
            self.sampled = SampledBatch(
                rows=inputs,
                ids_BT=batch["completion_ids"],
                mask_BT=batch["completion_mask"],
                reward_B=self._total_reward()[self._here(len(inputs))],
                advantage_B=before_B,
                added_BT=batch["advantages"] - before_B[:, None] * mask_BT if per_token else None,
            )

    def _token_rewards(
        self, inputs: list[dict[str, Any]], batch: dict[str, Any], scores: PolicyScores | None, mask_BT: Tensor
    ) -> Tensor:
        assert self.token_reward is not None and scores is not None and scores.logprob_BT is not None
        pictures = [pictures_of(row) for row in inputs]
        reward_BT = self.token_reward(
            inputs,
            self._rollouts(inputs, batch, batch["completion_mask"]),
            [some[0] if len(some) == 1 else some for some in pictures],
            scores.logprob_BT,
            mask_BT,
            self.processing_class.tokenizer,
        )
        self._note("token_reward", reward_BT, mask_BT)
        return reward_BT

    def compute_loss(self, model: nn.Module, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Tensor:
        if self.model.training:
            self.last_batch = inputs
        return super().compute_loss(model, inputs, *args, **kwargs)

    def _compute_loss(self, model: nn.Module, inputs: dict[str, Any]) -> Tensor:
        loss = super()._compute_loss(model, inputs)
        # A batch without these numbers is none that was sampled for training (`watch.loss_check`).
        if self.method.adds_to_loss and self.model.training and ROW in inputs:
            loss = loss + self._added_loss(inputs)
        self._read = None
        return loss

    def _get_per_token_logps_and_entropies(self, *args: Any, **kwargs: Any) -> tuple[Tensor, ...]:
        found = super()._get_per_token_logps_and_entropies(*args, **kwargs)
        if self.method.adds_to_loss:
            self._read = _Read(found[0], args, kwargs)
        return found

    def _added_loss(self, inputs: dict[str, Any]) -> Tensor:
        """What the method adds to the loss of each token, averaged as TRL averages that."""
        read = self._read
        assert read is not None
        mask_BT = inputs["completion_mask"] * inputs.get("tool_mask", 1)
        spoil, spoilt_BT = self.method.compared_with, None
        if spoil is not None:
            pixels = self._spoilt_pixels(inputs, spoil)
            through = getattr(self.method, "spoilt_gradient", False)
            with torch.set_grad_enabled(through and torch.is_grad_enabled()):
                # Of TRL's own: this one notes what was read.
                spoilt_BT, *_ = super()._get_per_token_logps_and_entropies(
                    *read.args, **read.kwargs | {"pixel_values": pixels, "compute_entropy": False}
                )
            self._note("spoilt_kl", sampled_dependency(read.logprob_BT.detach(), spoilt_BT.detach(), mask_BT), mask_BT)
        added_BT = self.method.added_loss(read.logprob_BT, spoilt_BT, mask_BT)
        self._note("added_loss", added_BT.detach(), mask_BT)
        accumulated = self.current_gradient_accumulation_steps
        if self.loss_type == "dapo":
            # The number of tokens is that of all completions sampled at once, of which an update may take a part.
            share = accumulated / filled(self.args.steps_per_generation) / self.accelerator.num_processes
            return aggregate(added_BT, mask_BT, "dapo", batch_tokens=inputs["num_items_in_batch"].clamp(min=1) * share)
        return aggregate(added_BT, mask_BT, self.loss_type, max_length=self.max_completion_length) / accumulated

    def _spoilt_pixels(self, inputs: dict[str, Any], spoil: Spoil) -> Tensor:
        """The batch's pixels with its pictures spoilt."""
        assert self.sampled is not None
        made: dict[tuple[str, ...], Tensor] = {}
        parts = []
        for b, number in enumerate(inputs[ROW].tolist()):
            rollout = self.rollout_of(self.sampled.rows[number], inputs, b, counts=False)
            if rollout.key not in made:
                made[rollout.key] = spoilt_inputs(self.scorer.vlm, rollout, spoil, self._seed)["pixel_values"]
            parts.append(made[rollout.key])
        return like_batch(parts, inputs["pixel_values"])

    # -- what the phases ask ----------------------------------------------------------------------------------------

    @functools.cached_property
    def scorer(self) -> PolicyScorer:
        model = self.accelerator.unwrap_model(self.model)
        # Of an adapted model the part that transformers knows; the adapters are in it.
        model = model if isinstance(model, PreTrainedModel) else model.get_base_model()
        return PolicyScorer(model, self.processing_class, self.scoring)

    def _rollouts(self, inputs: list[dict[str, Any]], batch: dict[str, Any], mask_BT: Tensor) -> list[Rollout]:
        return [self.rollout_of(row, batch, b, counts=bool(mask_BT[b].any())) for b, row in enumerate(inputs)]

    def rollout_of(self, row: dict[str, Any], batch: dict[str, Any], b: int, *, counts: bool) -> Rollout:
        """Completion `b`, without its tokens if it does not count for the loss: those are not scored."""
        pictures = pictures_of(row)
        if not pictures:
            raise InputError(
                f"A row has no image, but {self.method.name} scores what a picture shows; give each row one, or train "
                "with grpo."
            )
        length = int(batch["completion_mask"][b].sum()) if counts else 0
        return Rollout(
            image=pictures,
            index=row.get("image_index") or 0,
            messages=row["prompt"],
            completion_ids=tuple(batch["completion_ids"][b, :length].tolist()),
            answer=row.get("answer"),
            question=row.get("question"),
            objects=row.get("objects"),
            prompt_ids=tuple(batch["prompt_ids"][b][batch["prompt_mask"][b].bool()].tolist()),
            options=self.chat_template_kwargs,
        )

    @property
    def _group(self) -> int:
        """G, completions of a prompt."""
        return self.num_generations if self.model.training else self.num_generations_eval

    def _here(self, count: int) -> slice:
        """Which of the rows gathered over all processes are this one's."""
        return slice(self.accelerator.process_index * count, (self.accelerator.process_index + 1) * count)

    def _total_reward(self) -> Tensor:
        """The reward (B,) of each completion; one that no function could judge gets the mean of its group."""
        rewards_BF = self._rewards_BF
        reward_B = (rewards_BF * self.reward_weights.to(rewards_BF.device)).nansum(1)
        reward_NG = reward_B.masked_fill(rewards_BF.isnan().all(1), torch.nan).view(-1, self._group)
        mean_N1 = reward_NG.nanmean(1, keepdim=True).nan_to_num(0.0)
        return torch.where(reward_NG.isnan(), mean_N1, reward_NG).flatten()

    # -- the log ------------------------------------------------------------------------------------------------------

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        self.clock.note(logs)
        super().log(logs, start_time)

    def _note(self, name: str, values_BT: Tensor, mask_BT: Tensor) -> None:
        """Log a mean over tokens and processes, under the name copo/..."""
        total = torch.stack([(values_BT * mask_BT).sum().float(), mask_BT.sum().float()])
        values, tokens = self.accelerator.reduce(total, reduction="sum").tolist()
        self._metrics["train" if self.model.training else "eval"][f"copo/{name}"].append(values / max(tokens, 1))

    def _log_scores(self, scores: PolicyScores, before_B: Tensor, after: Tensor, mask_BT: Tensor) -> None:
        """Means over all processes, under the names copo/..."""
        added_BT = (after - before_B[:, None]) * mask_BT
        counts_B = mask_BT.any(1)
        sums = [mask_BT.sum(), added_BT.sum(), added_BT.abs().sum(), counts_B.sum()]
        if self.method.needs_effects:
            scored = scores.scored_BT.sum()
            flipped = flipped_share(before_B, after, scores.scored_BT) * scored
            unscored = (counts_B & ~scores.scored_BT.any(1)).sum()
            sums += [scored, scores.sufficiency_BT.sum(), scores.necessity_BT.sum(), flipped, unscored]
        here = torch.tensor([float(x) for x in sums], device=before_B.device)
        tokens, added, moved, completions, *effects = self.accelerator.reduce(here, reduction="sum").tolist()
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
        if scores.dependency_BT is not None:
            self._note("dependency", scores.dependency_BT, mask_BT)
        seconds = torch.tensor(scores.seconds, device=before_B.device)
        metrics["score_seconds"] = self.accelerator.gather(seconds).max().item()
        for name, value in metrics.items():
            self._metrics["train" if self.model.training else "eval"][f"copo/{name}"].append(value)


def pictures_of(row: dict[str, Any]) -> list:
    """The pictures of a row, as TRL finds them."""
    return [row["image"]] if row.get("image") is not None else row.get("images") or []

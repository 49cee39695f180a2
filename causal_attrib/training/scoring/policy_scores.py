"""Causal scores of what a policy has just written, read off the policy itself.

The engine sees the ids that were sampled, never text that was tokenized again, and only reasoning is edited. The model
is scored as it stands: in eval mode, since the noise of dropout is as large as what is measured, in its own precision,
and with its modes put back afterwards. Completions of one picture and prompt share one reading of them.

Axes: B completions, T tokens, N edits, U units.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel, ProcessorMixin

from causal_attrib.engine import Engine, Job, PlainEngine, choose_engine
from causal_attrib.engine.base import SLACK
from causal_attrib.outcomes import Outcome, choose_outcome
from causal_attrib.scores import logprob_and_entropy, necessity, sufficiency
from causal_attrib.scores.caption_task import Plan, outcomes_of
from causal_attrib.scores.settings import CausalSettings
from causal_attrib.training.scoring.dependence import Dependence, read_dependence
from causal_attrib.training.scoring.rollout import Rollout, encode_completion, encode_prompt
from causal_attrib.training.scoring.spoilt import Spoil, encode_spoilt
from causal_attrib.training.scoring.units import check_units, choose_units
from causal_attrib.vlm import VLM, Encoding
from causal_attrib.vlm.modes import eval_mode

if TYPE_CHECKING:
    from causal_attrib.outcomes.base import LogprobOutcome

# A picture with its prompt, and the numbers of its completions.
_Prompt = tuple[Encoding, list[int]]


@dataclass(frozen=True, kw_only=True)
class Scoring(CausalSettings):
    """How completions are scored.

    outcome:   what "right" means, as in `causal_attrib.score`; "auto" is the likelihood of the reference answer, and
               grounding where the row has none. A completion without reasoning that an answer could follow from gets no
               scores.
    samples:   H sampled completions per prefix; 0 reads the answer behind the prefix as it is. None is 0, or 4 for
               outcomes that judge text.
    against, estimator, coupling, mask: as in `causal_attrib.score`
    level, subset, share: which tokens are scored (`training.scoring.units`)
    engine, batch_size: as in `causal_attrib.score`
    """

    level: str = "token"
    subset: str = "all"
    share: float = 0.2

    def __post_init__(self) -> None:
        check_units(self.level, self.subset, self.share)
        super().__post_init__()


@dataclass(frozen=True)
class PolicyScores:
    """Scores of a batch of completions, aligned to their ids.

    sufficiency_BT: in [0, 1]; 0 at tokens that were not scored
    necessity_BT:   in [-1, 1]; 0 likewise
    scored_BT:      True for tokens that were scored: reasoning, as far as `Scoring` asks for it
    entropy_BT:     nats, of the distribution each token was drawn from at temperature 1; 0 at padding, and everywhere
                    if it was not asked for
    seconds:        that all this took
    logprob_BT:     nats, of each token at temperature 1; 0 at padding, None if it was not asked for
    dependency_BT:  how much each token depends on the picture (`Dependence`), 0 or more; likewise
    """

    sufficiency_BT: Tensor
    necessity_BT: Tensor
    scored_BT: Tensor
    entropy_BT: Tensor
    seconds: float
    logprob_BT: Tensor | None = None
    dependency_BT: Tensor | None = None


class PolicyScorer:
    """Scores completions of one model, whose weights may change from call to call.

    Args:
        model: the policy, without wrappers of a trainer; of a PEFT model its adapted base model.
        processor: what prepares its inputs.
        scoring: how completions are scored.
    """

    def __init__(self, model: PreTrainedModel, processor: ProcessorMixin, scoring: Scoring | None = None):
        self.scoring = scoring or Scoring()
        with _as_for_inference(model):
            self.vlm = VLM(model, processor, name=model.name_or_path or "the policy")

    def __call__(
        self,
        rollouts: Sequence[Rollout],
        length: int,
        *,
        effects: bool = True,
        entropy: bool = False,
        logprob: bool = False,
        dependence: Dependence | None = None,
        seed: int = 0,
    ) -> PolicyScores:
        """Score completions.

        Args:
            rollouts: B completions; those of one picture and prompt are best next to each other.
            length: T, tokens of the longest with its padding.
            effects: score sufficiency and necessity.
            entropy: take entropies.
            logprob: take log-probabilities.
            dependence: how to measure how much tokens depend on the picture; not together with `effects`, which hold
                it against something else. None: not at all.
            seed: of sampled completions, and of what is drawn to spoil pictures.

        Returns:
            Tensors (B, T), float32, on the device of the model.

        Raises:
            InputError: a row that cannot be scored by this outcome, or a text longer than the model reads.
        """
        if effects and dependence is not None:
            raise ValueError("A picture is held against one thing at a time; ask for effects or for dependence.")
        began = time.perf_counter()
        rows_3BT = np.zeros((3, len(rollouts), length), dtype=np.float32)
        read_2BT = np.zeros((2, len(rollouts), length), dtype=np.float32)
        scored_BT = np.zeros((len(rollouts), length), dtype=bool)
        with _as_for_inference(self.vlm.model):
            # The embedding tables may have changed since.
            for mean in ("mean_embedding_D", "mean_per_layer_embedding_D"):
                self.vlm.__dict__.pop(mean, None)
            if dependence is None:
                encoded = _by_prompt(self.vlm, rollouts, self.scoring.against)
            else:
                encoded = _by_prompt_spoilt(self.vlm, rollouts, dependence.spoil, seed)
            for engine, prompts in self._together(encoded):
                if logprob or dependence is not None:
                    read_dependence(engine, prompts, rollouts, dependence, read_2BT)
                if entropy or (effects and self.scoring.subset == "entropy"):
                    self._entropies(engine, prompts, rollouts, rows_3BT[2])
                if effects:
                    self._effects(engine, prompts, rollouts, seed, rows_3BT, scored_BT)
        device = self.vlm.model.device
        sufficiency_BT, necessity_BT, entropy_BT = torch.from_numpy(rows_3BT).to(device)
        logprob_BT, dependency_BT = torch.from_numpy(read_2BT).to(device)
        return PolicyScores(
            sufficiency_BT,
            necessity_BT,
            torch.from_numpy(scored_BT).to(device),
            entropy_BT,
            seconds=time.perf_counter() - began,
            logprob_BT=logprob_BT if logprob else None,
            dependency_BT=None if dependence is None else dependency_BT,
        )

    def logprobs(self, rollouts: Sequence[Rollout], length: int, temperature: float = 1.0) -> Tensor:
        """Log-probabilities (B, T) of the completions' tokens in nats, float32, 0 at padding.

        One plain forward for each completion, without padding: what a batch is held against.

        Args:
            length: T, tokens of the longest with its padding.
            temperature: what logits are divided by.
        """
        logprob_BT = np.zeros((len(rollouts), length), dtype=np.float32)
        engine = PlainEngine(self.vlm)
        with _as_for_inference(self.vlm.model):
            for prompt, members in _by_prompt(self.vlm, rollouts, self.scoring.against):
                for b in members:
                    ids = rollouts[b].completion_ids
                    logits_TV = engine.scan(dataclasses.replace(prompt, response_ids=ids))
                    logprob_BT[b, : len(ids)] = logprob_and_entropy(logits_TV.float() / temperature, ids)[0]
        return torch.from_numpy(logprob_BT).to(self.vlm.model.device)

    def _together(self, prompts: Sequence[_Prompt]) -> Iterator[tuple[Engine, list[_Prompt]]]:
        """The engine, and the prompts in groups that share forwards."""
        if not prompts:
            return
        # What an engine remembers of a picture ends with the weights; its check stays with the VLM.
        first, _ = prompts[0]
        engine = choose_engine(self.scoring.engine, self.vlm, first, self.scoring.batch_size, several=len(prompts) > 1)
        for group in engine.together([prompt for prompt, _ in prompts]):
            yield engine, [prompts[index] for index in group]

    def _entropies(
        self, engine: Engine, prompts: Sequence[_Prompt], rollouts: Sequence[Rollout], entropy_BT: np.ndarray
    ) -> None:
        """Write the entropies of the completions of some prompts."""
        for prompt, members in prompts:
            for b in members:
                # The end-of-sequence token was drawn too, so the ids stand here as they are.
                ids = rollouts[b].completion_ids
                whole = dataclasses.replace(prompt, response_ids=ids)
                entropy_BT[b, : len(ids)] = logprob_and_entropy(engine.scan(whole), ids)[1]

    def _effects(
        self,
        engine: Engine,
        prompts: Sequence[_Prompt],
        rollouts: Sequence[Rollout],
        seed: int,
        rows_3BT: np.ndarray,
        scored_BT: np.ndarray,
    ) -> None:
        """Write sufficiency and necessity of the completions of some prompts, and which tokens have them.

        The engine gets all of them at once, so that they share forwards; equal ones are scored once.
        """
        plans = []
        for prompt, members in prompts:
            for same in _equal(rollouts, members):
                plan = self._plan(prompt, rollouts[same[0]], rows_3BT[2, same[0]])
                if plan is not None:
                    plans.append((same, plan))
        outcomes = outcomes_of(
            engine,
            [
                Plan(
                    plan.units,
                    plan.keeps,
                    plan.masks,
                    self.scoring.samples_for(plan.keeps.outcome),
                    self.scoring.coupling_for(plan.keeps.outcome),
                    self.scoring.estimator_for(plan.keeps.outcome),
                )
                for _, plan in plans
            ],
            seed=seed,
        )
        for (same, plan), (outcome_s, outcome_n) in zip(plans, outcomes, strict=True):
            sufficiency_U, _ = sufficiency.read(plan.units, outcome_s, self.scoring.estimator_for(plan.keeps.outcome))
            necessity_U = necessity.read(outcome_n[:, 0], rewrites=plan.rewrites)
            for u, unit in enumerate(plan.units):
                at = np.ix_(same, unit)
                rows_3BT[0][at], rows_3BT[1][at], scored_BT[at] = sufficiency_U[u], necessity_U[u], True

    def _plan(self, prompt: Encoding, rollout: Rollout, entropy_T: np.ndarray) -> _Plan | None:
        """What to run for one completion; None if it has nothing that is scored."""
        scoring = self.scoring
        encoding = encode_completion(self.vlm, prompt, rollout, scoring.outcome)
        if encoding is None:
            return None
        units = choose_units(encoding, entropy_T, level=scoring.level, subset=scoring.subset, share=scoring.share)
        if not units:
            return None
        named = None if scoring.outcome == "auto" else rollout.objects
        judge = choose_outcome(scoring.outcome, encoding, named)
        if not self._fits(encoding, judge):
            return None
        rewrites = judge.needs_text and not encoding.answers_a_question
        keeps, masks = sufficiency.plan(units), necessity.plan(units, scoring.mask, rewrites=rewrites)
        return _Plan(units, Job(encoding, keeps, judge), Job(encoding, masks, judge), rewrites)

    def _fits(self, encoding: Encoding, judge: Outcome) -> bool:
        """Whether the model can read what is asked behind the completion; the policy left no room for that."""
        probes = () if judge.needs_text else cast("LogprobOutcome", judge).probes(self.vlm, encoding)
        asked = max((len(probe.cue) + len(probe.answer) for probe in probes), default=len(encoding.cue_ids))
        # What is drawn may be longer than what it replaces.
        asked += SLACK if self.scoring.samples else 0
        longest = self.vlm.family.longest
        return longest is None or encoding.prompt_length + len(encoding.response_ids) + asked <= longest


@dataclass(frozen=True)
class _Plan:
    """What the engine runs for one completion, and the units that it is read by."""

    units: Sequence[tuple[int, ...]]
    keeps: Job
    masks: Job
    rewrites: bool


def _equal(rollouts: Sequence[Rollout], members: Sequence[int]) -> list[list[int]]:
    """Completions of one prompt in groups of those that are scored alike; a policy that is sure repeats itself."""
    groups: dict[tuple, list[int]] = {}
    for b in members:
        rollout = rollouts[b]
        key = rollout.completion_ids, rollout.answer, rollout.question, tuple(rollout.objects or ())
        groups.setdefault(key, []).append(b)
    return list(groups.values())


def _by_prompt(vlm: VLM, rollouts: Sequence[Rollout], against: str) -> list[_Prompt]:
    """The encoding of each picture with its prompt, and the completions of it; those without tokens are left out."""
    return [(encode_prompt(vlm, rollouts[members[0]], against), members) for members in _groups(rollouts)]


def _by_prompt_spoilt(vlm: VLM, rollouts: Sequence[Rollout], spoil: Spoil, seed: int) -> list[_Prompt]:
    """The same, held against the picture as it is spoilt."""
    return [(encode_spoilt(vlm, rollouts[members[0]], spoil, seed), members) for members in _groups(rollouts)]


def _groups(rollouts: Sequence[Rollout]) -> list[list[int]]:
    groups: dict[tuple, list[int]] = {}
    for b, rollout in enumerate(rollouts):
        if rollout.completion_ids:
            groups.setdefault(rollout.key, []).append(b)
    return list(groups.values())


@contextmanager
def _as_for_inference(model: PreTrainedModel) -> Iterator[None]:
    """Eval mode, no gradient and the model's own precision while it lasts; then all is as it was."""
    # Under mixed precision accelerate puts an autocasting forward before the model's own. The packed engine calls parts
    # of the model too, which that does not reach, and would differ from the whole by rounding to half precision.
    wrapped = model.__dict__.get("forward")
    plain = model.__dict__.get("_original_forward")
    if plain is not None:
        model.forward = plain
    try:
        with eval_mode(model), torch.no_grad():
            yield
    finally:
        if plain is not None and wrapped is not None:
            model.forward = wrapped

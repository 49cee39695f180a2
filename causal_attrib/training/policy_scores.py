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

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel, ProcessorMixin

from causal_attrib.engine import COUPLINGS, ENGINES, Engine, choose_engine
from causal_attrib.errors import InputError
from causal_attrib.interventions import check_fill
from causal_attrib.outcomes import choose_outcome
from causal_attrib.scores import logprob_and_entropy, necessity, sufficiency
from causal_attrib.scores.score import SAMPLES_FOR_TEXT
from causal_attrib.training.rollout import Rollout, encode_completion, encode_prompt
from causal_attrib.training.units import check_units, choose_units
from causal_attrib.vlm import VLM, Encoding


@dataclass(frozen=True)
class Scoring:
    """How completions are scored.

    outcome:   what "right" means, as in `causal_attrib.score`; "auto" is the likelihood of the reference answer, and
               grounding where the row has none. A completion without reasoning that an answer could follow from gets no
               scores.
    samples:   H sampled completions per prefix; 0 reads the answer behind the prefix as it is. None is 0, or 4 for
               outcomes that judge text.
    estimator, coupling, mask: as in `causal_attrib.score`
    level, subset, share: which tokens are scored (`training.units`)
    engine, batch_size: as in `causal_attrib.score`
    """

    outcome: str = "auto"
    samples: int | None = None
    estimator: str = "paired"
    coupling: str = "independent"
    mask: str = "zero"
    level: str = "token"
    subset: str = "all"
    share: float = 0.2
    engine: str = "auto"
    batch_size: int | str = "auto"

    def __post_init__(self):
        check_units(self.level, self.subset, self.share)
        check_fill(self.mask)
        for what, value, allowed in (
            ("estimator", self.estimator, sufficiency.ESTIMATORS),
            ("coupling", self.coupling, COUPLINGS),
            ("engine", self.engine, ENGINES),
        ):
            if value not in allowed:
                raise InputError(f"There is no {what} {value!r}; choose one of {', '.join(allowed)}.")
        if self.samples is not None and self.samples < 0:
            raise InputError(f"The number of samples is {self.samples}, but it must be 0 or more.")


@dataclass(frozen=True)
class PolicyScores:
    """Scores of a batch of completions, aligned to their ids.

    sufficiency_BT: in [0, 1]; 0 at tokens that were not scored
    necessity_BT:   in [-1, 1]; 0 likewise
    scored_BT:      True for tokens that were scored: reasoning, as far as `Scoring` asks for it
    entropy_BT:     nats, of the distribution each token was drawn from at temperature 1; 0 at padding, and everywhere
                    if it was not asked for
    seconds:        that all this took
    """

    sufficiency_BT: Tensor
    necessity_BT: Tensor
    scored_BT: Tensor
    entropy_BT: Tensor
    seconds: float


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
        self, rollouts: Sequence[Rollout], length: int, *, effects: bool = True, entropy: bool = False, seed: int = 0
    ) -> PolicyScores:
        """Score completions.

        Args:
            rollouts: B completions; those of one picture and prompt are best next to each other.
            length: T, tokens of the longest with its padding.
            effects: score sufficiency and necessity.
            entropy: take entropies.
            seed: of sampled completions.

        Returns:
            Tensors (B, T), float32, on the device of the model.

        Raises:
            InputError: a row that cannot be scored by this outcome, or a text longer than the model reads.
        """
        began = time.perf_counter()
        rows_3BT = np.zeros((3, len(rollouts), length), dtype=np.float32)
        scored_BT = np.zeros((len(rollouts), length), dtype=bool)
        with _as_for_inference(self.vlm.model):
            # The embedding table may have changed since.
            self.vlm.__dict__.pop("mean_embedding_D", None)
            # So has all that an engine remembers of a picture; the check of the packed engine stays with the VLM.
            engine = None
            for prompt, members in _by_prompt(self.vlm, rollouts):
                engine = engine or choose_engine(self.scoring.engine, self.vlm, prompt, self.scoring.batch_size)
                for b in members:
                    entropy_T = None
                    if entropy or (effects and self.scoring.subset == "entropy"):
                        entropy_T = self._entropy(engine, prompt, rollouts[b].completion_ids)
                        rows_3BT[2, b, : len(entropy_T)] = entropy_T
                    if effects:
                        self._effects(engine, prompt, rollouts[b], entropy_T, seed, rows_3BT[:2, b], scored_BT[b])
        device = self.vlm.model.device
        sufficiency_BT, necessity_BT, entropy_BT = torch.from_numpy(rows_3BT).to(device)
        return PolicyScores(
            sufficiency_BT,
            necessity_BT,
            torch.from_numpy(scored_BT).to(device),
            entropy_BT,
            seconds=time.perf_counter() - began,
        )

    def _entropy(self, engine: Engine, prompt: Encoding, ids: tuple[int, ...]) -> np.ndarray:
        # The end-of-sequence token was drawn too, so the ids stand here as they are.
        whole = dataclasses.replace(prompt, response_ids=ids)
        return logprob_and_entropy(engine.scan(whole), ids)[1]

    def _effects(
        self,
        engine: Engine,
        prompt: Encoding,
        rollout: Rollout,
        entropy_T: np.ndarray | None,
        seed: int,
        scores_2T: np.ndarray,
        scored_T: np.ndarray,
    ) -> None:
        """Write sufficiency and necessity of one completion into `scores_2T`, and which tokens have them."""
        scoring = self.scoring
        encoding = encode_completion(self.vlm, prompt, rollout, scoring.outcome)
        if encoding is None:
            return
        units = choose_units(encoding, entropy_T, level=scoring.level, subset=scoring.subset, share=scoring.share)
        if not units:
            return
        named = None if scoring.outcome == "auto" else rollout.objects
        judge = choose_outcome(scoring.outcome, encoding, named)
        samples = scoring.samples
        if samples is None:
            samples = SAMPLES_FOR_TEXT if judge.needs_text else 0
        rewrites = judge.needs_text and not encoding.answers_a_question
        plan_s = sufficiency.plan(units)
        plan_n = necessity.plan(units, scoring.mask, rewrites=rewrites)
        if samples:
            outcome_s = engine.run(encoding, plan_s, judge, samples=samples, seed=seed, coupling=scoring.coupling)
            outcome_n = engine.run(encoding, plan_n, judge)
        else:
            outcome_s, outcome_n = np.split(engine.run(encoding, plan_s + plan_n, judge), [len(plan_s)])
        sufficiency_U, _ = sufficiency.read(units, outcome_s, scoring.estimator)
        necessity_U = necessity.read(outcome_n[:, 0], rewrites=rewrites)
        for u, unit in enumerate(units):
            tokens = list(unit)
            scores_2T[0, tokens], scores_2T[1, tokens] = sufficiency_U[u], necessity_U[u]
            scored_T[tokens] = True


def _by_prompt(vlm: VLM, rollouts: Sequence[Rollout]) -> Iterator[tuple[Encoding, list[int]]]:
    """The encoding of each picture with its prompt, and the completions of it; those without tokens are left out."""
    groups: dict[tuple, list[int]] = {}
    for b, rollout in enumerate(rollouts):
        if rollout.completion_ids:
            groups.setdefault(rollout.key, []).append(b)
    for members in groups.values():
        yield encode_prompt(vlm, rollouts[members[0]]), members


@contextmanager
def _as_for_inference(model: PreTrainedModel) -> Iterator[None]:
    """Eval mode, no gradient and the model's own precision while it lasts; then all is as it was."""
    modes = [(module, module.training) for module in model.modules()]
    # Under mixed precision accelerate puts an autocasting forward before the model's own. The packed engine calls parts
    # of the model too, which that does not reach, and would differ from the whole by rounding to half precision.
    wrapped = model.__dict__.get("forward")
    plain = model.__dict__.get("_original_forward")
    if plain is not None:
        model.forward = plain
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        if plain is not None:
            model.forward = wrapped
        for module, mode in modes:
            module.training = mode

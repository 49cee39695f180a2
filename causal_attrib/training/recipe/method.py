"""The methods that can be trained with, their settings, and what each makes of advantages.

    grpo    nothing: TRL's own (DeepSeekMath, arXiv 2402.03300, and its kin by TRL's `loss_type`)
    copo    adds what a reasoning token did to the outcome (arXiv 2508.04182v2)
    hero    weighs tokens by how sure the model was of them ("Dynamic Entropy-Aware Reinforcement Learning")
    cepo    has a reward of its own (arXiv 2509.23095), and leaves advantages as they are
    vppo    trains on the tokens that depend most on the picture (arXiv 2510.09285)
    pgpo    gives more of the advantage to tokens that depend on the picture (arXiv 2604.01840)
    papo    adds to the loss that the policy is to tell a picture from a masked one (arXiv 2507.06448)
    symmpo  has a loss and data of its own (arXiv 2506.11712)
    dpo     preferences, as TRL learns from them (arXiv 2305.18290)

Settings that TRL has already (group size, epsilon, beta, loss type, learning rate) are TRL's. Settings are read and
checked without torch, which takes seconds to import: a slip in a recipe is told at once.

Axes: B completions, T tokens.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from causal_attrib.choices import MOST_DRAWN, check_count
from causal_attrib.errors import InputError, check_range
from causal_attrib.training.recipe.arithmetic import filled
from causal_attrib.training.recipe.keys import MOST_WEIGHT

if TYPE_CHECKING:
    from torch import Tensor
    from trl import GRPOConfig

    from causal_attrib.training.scoring.dependence import Dependence
    from causal_attrib.training.scoring.policy_scores import PolicyScores
    from causal_attrib.training.scoring.spoilt import Spoil

CENTERS = ("none", "group", "completion")
# How a picture is spoilt (`training.scoring.spoilt`).
SPOILS = ("patches", "blur", "colour", "none")
# Losses whose average over tokens is known here, so that something can be added to it.
AVERAGED = ("grpo", "bnpo", "dr_grpo", "dapo")


@dataclass(frozen=True)
class GRPO:
    """Group-relative advantages as TRL computes them.

    keep: share of the prompts of a batch that are trained on, those whose rewards vary most (`variance_gate`); 1: all.
          TRL's losses grpo and dr_grpo divide by all completions all the same, so that their step shrinks with it.
    """

    keep: float = 1.0
    name: ClassVar[str] = "grpo"
    needs_entropy: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not 0 < self.keep <= 1:
            raise InputError(f"The share of prompts to keep is {self.keep}, but it must lie above 0 and be 1 at most.")

    @property
    def needs_effects(self) -> bool:
        """Whether sufficiency and necessity of the tokens have to be known."""
        return False

    @property
    def dependence(self) -> Dependence | None:
        """How much tokens depend on the picture, if that has to be known for their advantages."""
        return None

    @property
    def adds_to_loss(self) -> bool:
        """Whether `added_loss` is something."""
        return False

    @property
    def compared_with(self) -> Spoil | None:
        """What `added_loss` wants log-probabilities behind, beside those behind the picture."""
        return None

    def added_loss(self, logprob_BT: Tensor, spoilt_logprob_BT: Tensor | None, mask_BT: Tensor) -> Tensor:
        """What is added to the loss of each token (B, T), where `adds_to_loss`.

        Args:
            logprob_BT: of the tokens that were written, with gradient.
            spoilt_logprob_BT: the same behind the picture as `compared_with` spoils it.
            mask_BT: 1 for tokens that are trained on.
        """
        raise NotImplementedError

    def token_advantage(self, advantage_B: Tensor, scores: PolicyScores | None, mask_BT: Tensor, group: int) -> Tensor:
        """Advantages (B,) or (B, T) from those of the completions.

        Args:
            scores: if the method needs effects, entropy or dependence.
            mask_BT: 1 for tokens that are trained on.
            group: completions of a prompt.
        """
        return advantage_B


@dataclass(frozen=True)
class COPO(GRPO):
    """Ahat = A + lambda_s * sufficiency + lambda_n * necessity on reasoning tokens.

    With both weights 0 it is grpo, and nothing is scored.

    lambda_s, lambda_n, normalise: as `objectives.causal_reward`
    center: subtract the mean causal reward over each "group" of completions, or over each "completion"; "none" is the
            paper's, whose bonus reinforces wrong completions too
    gate:   add it to completions with A >= 0 only; not the paper's
    """

    lambda_s: float = 0.35
    lambda_n: float = 0.35
    normalise: str = "clip"
    center: str = "none"
    gate: bool = False
    name: ClassVar[str] = "copo"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("lambda_s", self.lambda_s, 0, 1)
        check_range("lambda_n", self.lambda_n, 0, 1)
        if self.center not in CENTERS:
            raise InputError(f"There is no way to center {self.center!r}; choose one of {', '.join(CENTERS)}.")
        if self.normalise != COPO.normalise:  # which is one of them, and torch is not imported for nothing
            from causal_attrib.objectives import NORMALISATIONS

            if self.normalise not in NORMALISATIONS:
                raise InputError(
                    f"There is no normalisation {self.normalise!r}; choose one of {', '.join(NORMALISATIONS)}."
                )

    @property
    def needs_effects(self) -> bool:
        return bool(self.lambda_s or self.lambda_n)

    def token_advantage(self, advantage_B: Tensor, scores: PolicyScores | None, mask_BT: Tensor, group: int) -> Tensor:
        from causal_attrib.objectives import causal_reward, copo_advantage

        if scores is None:
            return advantage_B
        causal_BT = causal_reward(
            scores.sufficiency_BT,
            scores.necessity_BT,
            scores.scored_BT,
            lambda_s=self.lambda_s,
            lambda_n=self.lambda_n,
            normalise=self.normalise,
        )
        center = {"none": None, "group": group, "completion": 1}[self.center]
        return copo_advantage(advantage_B, causal_BT, scores.scored_BT, center=center, gate=self.gate)


@dataclass(frozen=True)
class HERO(GRPO):
    """Ahat = w * A, w a softmax of -entropy over the tokens of a completion; and 60 % of the prompts.

    mean_one, negative_only: as `objectives.hero_advantage`
    """

    keep: float = 0.6
    mean_one: bool = True
    negative_only: bool = False
    name: ClassVar[str] = "hero"
    needs_entropy: ClassVar[bool] = True

    def token_advantage(self, advantage_B: Tensor, scores: PolicyScores | None, mask_BT: Tensor, group: int) -> Tensor:
        from causal_attrib.objectives import hero_advantage

        if scores is None:
            raise ValueError("HERO weighs tokens by their entropy; give scores.")
        return hero_advantage(
            advantage_B, scores.entropy_BT, mask_BT, mean_one=self.mean_one, negative_only=self.negative_only
        )


@dataclass(frozen=True)
class CEPO(GRPO):
    """Rewards are a power mean of accuracy and causal coherence (`training.scoring.cepo_reward`).

    p, weights: as `objectives.cepo_reward`; the weight of accuracy first, then Z->X, X->Y, Z->Y
    draws:      K counterfactual texts per completion, from 1 to 10,000
    """

    p: float = 0.2
    weights: tuple[float, float, float, float] = (0.7, 0.1, 0.1, 0.1)
    draws: int = 4
    name: ClassVar[str] = "cepo"

    def __post_init__(self) -> None:
        super().__post_init__()
        if math.isnan(self.p):
            raise InputError("The exponent p of the power mean is NaN; give a number, 0 for the geometric mean.")
        if len(self.weights) != 4 or not all(0 <= w <= MOST_WEIGHT for w in self.weights) or not any(self.weights):
            raise InputError(
                f"The weights are {list(self.weights)}; give four numbers from 0 to {MOST_WEIGHT}, not all of them 0."
            )
        check_count("The number of draws", self.draws, MOST_DRAWN)


@dataclass(frozen=True)
class _Spoiling(GRPO):
    """What the methods share that hold a picture against itself spoilt.

    spoil:       how: "patches" are blackened at random, "blur", "colour" (a picture of one colour), "none" (no picture)
    patch_size:  side of a patch, in pixels of the picture as it came
    patch_share: of the patches that are blackened
    """

    spoil: str = "patches"
    patch_size: int = 14
    patch_share: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.spoil not in SPOILS:
            raise InputError(f"A picture cannot be spoilt by {self.spoil!r}; choose one of {', '.join(SPOILS)}.")
        check_range("patch_size", self.patch_size, 1)
        check_range("patch_share", self.patch_share, 0, 1)
        if self.spoil == "patches" and self.patch_share == 0:
            raise InputError(
                "patch_share is 0, so that nothing of the picture is spoilt; give a number above 0, or another method."
            )

    @property
    def _spoil(self) -> Spoil:
        from causal_attrib.training.scoring.spoilt import Spoil

        return Spoil(self.spoil, self.patch_size, self.patch_share)


@dataclass(frozen=True)
class VPPO(_Spoiling):
    """Ahat = alpha * A on the tokens that depend most on the picture, 0 elsewhere; and an entropy penalty.

    Defaults are those of the authors' released configuration. With top_tokens and advantage_min 1 and no penalty it is
    grpo, and nothing is scored.

    top_tokens:      share of each completion's tokens that are trained on (`objectives.top_tokens`)
    advantage_min:   alpha of the completion that depends least on its picture (`objectives.response_scale`)
    entropy_penalty: weight of the mean of -log p of the tokens that were written, which is added to the loss. On policy
                     its gradient is 0 on the mean over many samples: it makes what happened to be sampled more likely.
    """

    top_tokens: float = 0.4
    advantage_min: float = 0.9
    entropy_penalty: float = 0.06
    name: ClassVar[str] = "vppo"

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("top_tokens", "advantage_min"):
            if not 0 < getattr(self, name) <= 1:
                raise InputError(f"{name} is {getattr(self, name)}, but it must lie above 0 and be 1 at most.")
        check_range("entropy_penalty", self.entropy_penalty, 0, MOST_WEIGHT)

    @property
    def dependence(self) -> Dependence | None:
        from causal_attrib.training.scoring.dependence import Dependence

        return None if self.top_tokens == self.advantage_min == 1 else Dependence(self._spoil)

    @property
    def adds_to_loss(self) -> bool:
        return self.entropy_penalty > 0

    def added_loss(self, logprob_BT: Tensor, spoilt_logprob_BT: Tensor | None, mask_BT: Tensor) -> Tensor:
        return -self.entropy_penalty * logprob_BT * mask_BT

    def token_advantage(self, advantage_B: Tensor, scores: PolicyScores | None, mask_BT: Tensor, group: int) -> Tensor:
        from causal_attrib.objectives import vppo_advantage

        if self.dependence is None:
            return advantage_B
        dependency_BT = _dependency(self.name, scores)
        return vppo_advantage(advantage_B, dependency_BT, mask_BT, top=self.top_tokens, low=self.advantage_min)


@dataclass(frozen=True)
class PGPO(_Spoiling):
    """Ahat = w * A, w by how much a token's distribution changes without the picture; of mean 1 in each completion.

    threshold, boost: tau and beta of `objectives.dependency_weights`
    """

    spoil: str = "none"
    threshold: float = 0.4
    boost: float = 2.0
    name: ClassVar[str] = "pgpo"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.threshold < 1:
            raise InputError(f"threshold is {self.threshold}, but it must be 0 or more and lie below 1.")
        check_range("boost", self.boost, 0, MOST_WEIGHT)

    @property
    def dependence(self) -> Dependence | None:
        from causal_attrib.training.scoring.dependence import Dependence

        return Dependence(self._spoil, vocabulary=True)

    def token_advantage(self, advantage_B: Tensor, scores: PolicyScores | None, mask_BT: Tensor, group: int) -> Tensor:
        from causal_attrib.objectives import pgpo_advantage

        dependency_BT = _dependency(self.name, scores)
        return pgpo_advantage(advantage_B, dependency_BT, mask_BT, threshold=self.threshold, boost=self.boost)


@dataclass(frozen=True)
class PAPO(_Spoiling):
    """Advantages as they are; the loss has the KL to what the policy says behind a masked picture, which is to grow.

    With all weights 0 it is grpo, and nothing is scored. Defaults are the authors' for PAPO with DAPO's loss, and with
    GRPO's where that has no KL to a reference.

    gamma, eta, eta_spoilt: as `objectives.perception_loss`
    spoilt_gradient: the gradient goes through what is said behind the masked picture too, as the paper's formula has
                     it. In the authors' code those log-probabilities are constants, taken before the update (where one
                     update is made of a batch they are the same numbers), so that eta_spoilt is without effect.
    """

    patch_share: float = 0.6
    gamma: float = 0.01
    eta: float = 0.03
    eta_spoilt: float = 0.03
    spoilt_gradient: bool = True
    name: ClassVar[str] = "papo"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.spoil == "none":
            raise InputError("papo masks the picture and cannot leave it out; choose patches, blur or colour.")
        for name in ("gamma", "eta", "eta_spoilt"):
            check_range(name, getattr(self, name), 0, MOST_WEIGHT)

    @property
    def adds_to_loss(self) -> bool:
        return bool(self.gamma or self.eta or self.eta_spoilt)

    @property
    def compared_with(self) -> Spoil | None:
        return self._spoil if self.adds_to_loss else None

    def added_loss(self, logprob_BT: Tensor, spoilt_logprob_BT: Tensor | None, mask_BT: Tensor) -> Tensor:
        from causal_attrib.objectives import perception_loss

        if spoilt_logprob_BT is None:
            raise ValueError("PAPO compares with what is said behind a masked picture; give its log-probabilities.")
        if not self.spoilt_gradient:
            spoilt_logprob_BT = spoilt_logprob_BT.detach()
        return perception_loss(
            logprob_BT, spoilt_logprob_BT, mask_BT, gamma=self.gamma, eta=self.eta, eta_spoilt=self.eta_spoilt
        )


def _dependency(name: str, scores: PolicyScores | None) -> Tensor:
    if scores is None or scores.dependency_BT is None:
        raise ValueError(f"The method {name} weighs tokens by how much they depend on the picture; give scores.")
    return scores.dependency_BT


@dataclass(frozen=True)
class DPO:
    """Preferences by TRL's DPO (arXiv 2305.18290), whose settings are all TRL's."""

    name: ClassVar[str] = "dpo"


@dataclass(frozen=True)
class SymMPO(DPO):
    """Settings of `objectives.symmpo_loss`; its beta is that of TRL's `DPOConfig`."""

    pair: float = 0.5
    margin: float = 1e-4
    anchor: float = 1.0
    delta: float = 0.0
    margin_in_reward_units: bool = False
    name: ClassVar[str] = "symmpo"

    def __post_init__(self) -> None:
        check_range("delta", self.delta, -MOST_WEIGHT, MOST_WEIGHT)
        for name in ("pair", "margin", "anchor"):
            check_range(f"The weight of the term {name}", getattr(self, name), 0, MOST_WEIGHT)


def check_loss_type(method: GRPO, loss_type: str) -> None:
    """Raises InputError if the method adds to the loss, and how TRL averages this one is not known here."""
    if method.adds_to_loss and loss_type not in AVERAGED:
        raise InputError(
            f"The method {method.name} adds to the loss, which goes with loss_type {', '.join(AVERAGED)} and not with "
            f"{loss_type}; choose one of these."
        )


def check_whole_groups(method: GRPO, arguments: GRPOConfig) -> None:
    """Raises InputError if the mean of a group is to be taken, and processes share the completions of a prompt."""
    if not (isinstance(method, COPO) and method.center == "group"):
        return
    for name, rows, group in (
        (
            "per_device_train_batch_size",
            arguments.per_device_train_batch_size * filled(arguments.steps_per_generation),
            filled(arguments.num_generations),
        ),
        (
            "per_device_eval_batch_size",
            arguments.per_device_eval_batch_size,
            arguments.num_generations_eval or filled(arguments.num_generations),
        ),
    ):
        if rows % group and (name == "per_device_train_batch_size" or arguments.eval_strategy != "no"):
            raise InputError(
                f"With center group the {group} completions of a prompt must lie on one process, which has {rows} of "
                f"them at once; raise {name}, or choose another center."
            )


Method = GRPO | DPO

METHODS: dict[str, type[GRPO] | type[DPO]] = {
    kind.name: kind for kind in (GRPO, COPO, HERO, CEPO, VPPO, PGPO, PAPO, SymMPO, DPO)
}


def choose_method(name: str, **settings: Any) -> Method:
    """The method `name` with these settings.

    >>> choose_method("copo", lambda_s=0.2)
    COPO(keep=1.0, lambda_s=0.2, lambda_n=0.35, normalise='clip', center='none', gate=False)

    Raises:
        InputError: there is no such method, it has no such setting, or a setting is out of its range.
    """
    if name not in METHODS:
        raise InputError(f"There is no method {name!r}; choose one of {', '.join(METHODS)}.")
    known = [field.name for field in dataclasses.fields(METHODS[name])]
    for setting in settings:
        if setting not in known:
            raise InputError(f"The method {name} has no setting {setting!r}; it has {', '.join(known) or 'none'}.")
    return METHODS[name](**settings)

"""The methods that can be trained with, their settings, and what each makes of advantages.

    grpo    nothing: TRL's own (DeepSeekMath, arXiv 2402.03300, and its kin by TRL's `loss_type`)
    copo    adds what a reasoning token did to the outcome (arXiv 2508.04182v2)
    hero    weighs tokens by how sure the model was of them ("Dynamic Entropy-Aware Reinforcement Learning")
    cepo    has a reward of its own (arXiv 2509.23095), and leaves advantages as they are
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

from causal_attrib.errors import InputError, check_range
from causal_attrib.training.recipe.arithmetic import filled

if TYPE_CHECKING:
    from torch import Tensor
    from trl import GRPOConfig

    from causal_attrib.training.scoring.policy_scores import PolicyScores

CENTERS = ("none", "group", "completion")


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

    def token_advantage(self, advantage_B: Tensor, scores: PolicyScores | None, mask_BT: Tensor, group: int) -> Tensor:
        """Advantages (B,) or (B, T) from those of the completions.

        Args:
            scores: if the method needs effects or entropy.
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
    draws:      K counterfactual texts per completion, 1 or more
    """

    p: float = 0.2
    weights: tuple[float, float, float, float] = (0.7, 0.1, 0.1, 0.1)
    draws: int = 4
    name: ClassVar[str] = "cepo"

    def __post_init__(self) -> None:
        super().__post_init__()
        if math.isnan(self.p):
            raise InputError("The exponent p of the power mean is NaN; give a number, 0 for the geometric mean.")
        if (
            len(self.weights) != 4
            or not all(math.isfinite(w) and w >= 0 for w in self.weights)
            or not any(self.weights)
        ):
            raise InputError(f"The weights are {list(self.weights)}; give four numbers from 0 up, not all of them 0.")
        if self.draws < 1:
            raise InputError(f"The number of draws is {self.draws}, but it must be 1 or more.")


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
        check_range("delta", self.delta, -math.inf)
        for name in ("pair", "margin", "anchor"):
            check_range(f"The weight of the term {name}", getattr(self, name), 0)


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

METHODS: dict[str, type[GRPO] | type[DPO]] = {kind.name: kind for kind in (GRPO, COPO, HERO, CEPO, SymMPO, DPO)}


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

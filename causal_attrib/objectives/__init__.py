"""What is optimised, as functions of tensors: no model, no trainer."""

from causal_attrib.objectives.advantage import equal_rewards, group_advantage
from causal_attrib.objectives.aggregation import LOSS_TYPES, aggregate
from causal_attrib.objectives.cepo import cepo_reward, power_mean
from causal_attrib.objectives.copo import NORMALISATIONS, causal_reward, copo_advantage, flipped_share
from causal_attrib.objectives.hero import entropy_weights, hero_advantage, variance_gate
from causal_attrib.objectives.loss import policy_loss
from causal_attrib.objectives.papo import perception_loss
from causal_attrib.objectives.pgpo import dependency_weights, pgpo_advantage, vocabulary_dependency
from causal_attrib.objectives.surrogate import clipped_surrogate, kl_to_reference
from causal_attrib.objectives.symmpo import LogRatios, SymMPOLoss, log_ratio, symmpo_loss
from causal_attrib.objectives.vppo import response_scale, sampled_dependency, top_tokens, vppo_advantage

__all__ = [
    "LOSS_TYPES",
    "NORMALISATIONS",
    "LogRatios",
    "SymMPOLoss",
    "aggregate",
    "causal_reward",
    "cepo_reward",
    "clipped_surrogate",
    "copo_advantage",
    "dependency_weights",
    "entropy_weights",
    "equal_rewards",
    "flipped_share",
    "group_advantage",
    "hero_advantage",
    "kl_to_reference",
    "log_ratio",
    "perception_loss",
    "pgpo_advantage",
    "policy_loss",
    "power_mean",
    "response_scale",
    "sampled_dependency",
    "symmpo_loss",
    "top_tokens",
    "variance_gate",
    "vocabulary_dependency",
    "vppo_advantage",
]

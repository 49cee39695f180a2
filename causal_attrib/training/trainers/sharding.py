"""Which ways of splitting a model over GPUs go with which method, and what FSDP splits it into."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.optim import Optimizer

from causal_attrib.errors import InputError
from causal_attrib.training.recipe.method import CEPO, DPO, PAPO, Method

if TYPE_CHECKING:
    from accelerate import Accelerator

_INSTEAD = "use FSDP 2 (fsdp_version: 2), ZeRO-2, DDP or one GPU."


def check_sharding(method: Method, *, fsdp: int, zero_stage: int | None, token_reward: bool = False) -> None:
    """Raises InputError for a method that does not go with the way a model is split up.

    FSDP 2 and ZeRO-3 give a model back whole for a while (`trainers.gathering`); FSDP 1 has made one vector of all
    parameters of a part. papo's second forward is one that all processes make, but its parameters have two gradients in
    one backward, of which ZeRO-3 takes one (an assertion of DeepSpeed's ends the run).

    Args:
        fsdp: the version of FSDP that shares parameters out; 0 for none.
        zero_stage: of DeepSpeed; None without it.
        token_reward: log-probabilities are taken for a token reward.
    """
    if isinstance(method, PAPO) and zero_stage == 3:
        raise InputError(
            "The method papo has two forwards in one loss, and DeepSpeed's ZeRO-3 takes one gradient of a parameter in "
            f"a backward; {_INSTEAD}"
        )
    if fsdp != 1 or isinstance(method, DPO):
        return
    if isinstance(method, (CEPO, PAPO)):
        raise InputError(f"The method {method.name} has not been tried under FSDP 1; {_INSTEAD}")
    runs_parts = method.needs_effects or method.needs_entropy or method.dependence is not None
    if runs_parts or token_reward:
        what = f"The method {method.name}" if runs_parts else "What asks log-probabilities for a token reward"
        raise InputError(f"{what} runs parts of the model, which FSDP 1 has split up; {_INSTEAD}")


class LayersOfTheModel:
    """A trainer whose FSDP splits the model into those layers that it has.

    Where nobody names classes of layers accelerate takes all that transformers knows for the parts of the model, and
    ends where one of them is not in it: that of the text tower of CLIP, whose picture tower LLaVA has alone.
    """

    accelerator: Accelerator
    model: Any

    def create_accelerator_and_postprocess(self) -> None:
        super().create_accelerator_and_postprocess()  # type: ignore[misc]
        plugin = getattr(self.accelerator.state, "fsdp_plugin", None)
        if plugin is not None and plugin.transformer_cls_names_to_wrap is None:
            plugin.transformer_cls_names_to_wrap = layers_of(self.model)


def layers_of(model: nn.Module) -> list[str]:
    """Names of the classes of layers that transformers does not split over devices, of those that the model has."""
    there = {type(module).__name__ for module in model.modules()}
    return sorted(there & set(getattr(model, "_no_split_modules", None) or ()))


def begin_states(optimizer: Optimizer) -> None:
    """Give parameters that have had no gradient the state that their optimizer begins with: zeros, as Adam's kin do.

    FSDP does not go on from a file in which one of them has none. Such are the last layers of LLaVA's tower, whose
    features are taken before. An optimizer whose states are not of the size of their parameters is left as it is.
    """
    parameters = [weight for group in optimizer.param_groups for weight in group["params"] if weight.requires_grad]
    begun = next((weight for weight in parameters if optimizer.state.get(weight)), None)
    if begun is None:
        return
    pattern = optimizer.state[begun]
    if not all(torch.is_tensor(value) and value.shape in (begun.shape, torch.Size()) for value in pattern.values()):
        return
    for weight in parameters:
        if not optimizer.state.get(weight):
            optimizer.state[weight] = {
                name: torch.zeros_like(weight if value.shape == begun.shape else value, dtype=value.dtype)
                for name, value in pattern.items()
            }

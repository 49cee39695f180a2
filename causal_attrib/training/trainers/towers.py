"""What a vision tower sees of TRL's batches: of equal pictures one, and nothing where there are none.

The batches hold the picture of a prompt once for each of its completions, and the tower would see all of these, when
completions are sampled and again in the loss. Of rows with pictures and rows of text a part may have none at all, which
TRL hands on with pixels of no picture.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.utils import ModelOutput

from causal_attrib.training.trainers.frozen_norms import keeps_what_it_learnt

# Where a hook leaves for the other which of the distinct pictures each is; and whether it is to look for such.
_WHICH, _ONCE = "_copo_which_B", "_copo_sees_once"


def see_once(model: nn.Module) -> None:
    """Have the towers of a model look at distinct pictures alone, while their weights stay as they are.

    A tower is left to see them all where it is trained, or draws at random, or is told more of each picture than its
    pixels.

    Args:
        model: whose towers take `pixel_values` (N, channels, height, width), picture by picture; others stay untouched.
    """
    for module in model.modules():
        is_tower = isinstance(module, PreTrainedModel) and module.main_input_name == "pixel_values"
        if is_tower and not hasattr(module, _ONCE):
            setattr(module, _ONCE, True)
            module.register_forward_pre_hook(_take_distinct, with_kwargs=True)
            module.register_forward_hook(_give_all, with_kwargs=True)


def without_none(model: PreTrainedModel) -> None:
    """Have a model read a batch of text as such where it comes with pixels of no picture, which towers fail on."""
    model.register_forward_pre_hook(_take_text, with_kwargs=True)


def _take_text(model: PreTrainedModel, args: tuple, kwargs: dict[str, Any]) -> tuple[tuple, dict[str, Any]] | None:
    ids, place = kwargs.get("input_ids"), getattr(model.config, "image_token_id", None)
    if ids is None or place is None or kwargs.get("pixel_values") is None or (ids == place).any():
        return None
    return args, {name: value for name, value in kwargs.items() if not name.startswith(("pixel_", "image_"))}


def _take_distinct(tower: nn.Module, args: tuple, kwargs: dict[str, Any]) -> tuple[tuple, dict[str, Any]] | None:
    tower.__dict__.pop(_WHICH, None)  # of a forward that failed
    given = [value for value in (*args, *kwargs.values()) if isinstance(value, Tensor)]
    if not getattr(tower, _ONCE) or len(given) != 1 or given[0].ndim != 4 or len(given[0]) < 2 or _may_differ(tower):
        return None
    pixels = given[0]
    first_D, which_B = distinct(pixels.detach())
    if len(first_D) == len(pixels):
        return None
    setattr(tower, _WHICH, which_B)
    fewer = pixels[first_D]
    return (
        tuple(fewer if value is pixels else value for value in args),
        {name: fewer if value is pixels else value for name, value in kwargs.items()},
    )


def _give_all(tower: nn.Module, args: tuple, kwargs: dict[str, Any], output: Any) -> Any:
    which_B = tower.__dict__.pop(_WHICH, None)
    if which_B is None:
        return output
    try:
        return _repeated(output, which_B, int(which_B.max()) + 1)
    except ValueError:
        # What comes out has no part for each picture, so that it has to see them all.
        setattr(tower, _ONCE, False)
        return tower(
            *(value[which_B] if isinstance(value, Tensor) else value for value in args),
            **{name: value[which_B] if isinstance(value, Tensor) else value for name, value in kwargs.items()},
        )


def _repeated(value: Any, which_B: Tensor, count: int) -> Any:
    """What came out for each of so many distinct pictures, for each picture.

    Raises:
        ValueError: the parts are not as many as the pictures.
    """
    if isinstance(value, Tensor):
        if not value.ndim or len(value) != count:
            raise ValueError(f"{tuple(value.shape)} are not {count} parts")
        return value[which_B]
    if isinstance(value, ModelOutput):
        return type(value)(**{name: _repeated(part, which_B, count) for name, part in value.items()})
    if isinstance(value, (tuple, list)):
        return type(value)(_repeated(part, which_B, count) for part in value)
    return value


def distinct(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Which of the rows of a tensor are the first of their kind, and which of these each row equals.

    >>> [part.tolist() for part in distinct(torch.tensor([[2.0, 1.0], [0.0, 3.0], [2.0, 1.0]]))]
    [[0, 1], [0, 1, 0]]
    """
    first, which, totals = list[int](), list[int](), list[float]()
    # Sums tell most pictures apart; those that have the same are held against each other.
    for row, total in enumerate(rows.flatten(1).sum(1, dtype=torch.float64).tolist()):
        for kind, other in enumerate(first):
            if totals[kind] == total and torch.equal(rows[other], rows[row]):
                which.append(kind)
                break
        else:
            which.append(len(first))
            first.append(row)
            totals.append(total)
    return torch.tensor(first, device=rows.device), torch.tensor(which, device=rows.device)


def _may_differ(tower: nn.Module) -> bool:
    """Whether equal pictures may come out in another way, or a gradient is wanted for each."""
    if torch.is_grad_enabled() and any(weight.requires_grad for weight in tower.parameters()):
        return True
    if not tower.training:
        return False
    config = tower.config.to_dict() if isinstance(tower, PreTrainedModel) else {}
    return _drops(config) or any(_draws(module) for module in tower.modules())


def _drops(config: dict) -> bool:
    """Whether a share to drop is set anywhere in a configuration: timm's towers have theirs in a dictionary of it."""
    return any(
        _drops(value) if isinstance(value, dict) else "drop" in str(name) and value for name, value in config.items()
    )


def _draws(module: nn.Module) -> bool:
    """Whether a part of a tower in training mode drops at random, or goes by all pictures of a batch."""
    if isinstance(module, nn.modules.batchnorm._NormBase):
        return not keeps_what_it_learnt(module)
    dropped = module.p if isinstance(module, nn.modules.dropout._DropoutNd) else getattr(module, "drop_prob", None)
    return bool(dropped)

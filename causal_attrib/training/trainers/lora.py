"""Adapters for vision-language models."""

from __future__ import annotations

import difflib
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from causal_attrib.errors import InputError
from causal_attrib.io.atomic import replace_file
from causal_attrib.vlm.loading import BUNDLED, BUNDLED_FOLDER

if TYPE_CHECKING:
    from peft import LoraConfig
    from torch import nn
    from transformers import PreTrainedModel

# How transformers calls the part of a model that sees: vision_tower, vision_model, visual.
_SEEING = r".*(vision|visual).*"


def lora_config(
    rank: int = 16,
    alpha: int = 32,
    dropout: float = 0.0,
    *,
    targets: Sequence[str] | None = None,
    whole: Sequence[str] | None = None,
    dora: bool = False,
    rslora: bool = False,
) -> LoraConfig:
    """LoRA (arXiv 2106.09685) on every linear layer but those of the vision tower and the head over the vocabulary.

    peft knows no default places for these models, and TRL takes none on the head. Dropout does not reach scores, which
    are taken without it.

    Args:
        targets: names of other layers, or ends of them; in the vision tower those that say so (`vision_tower.`...).
        whole: names of modules that are trained whole, and saved with the adapters.
        dora: DoRA (arXiv 2402.09353).
        rslora: rsLoRA (arXiv 2312.03732).
    """
    from peft import LoraConfig

    return LoraConfig(
        r=rank,
        lora_alpha=alpha,
        lora_dropout=dropout,
        target_modules="all-linear" if targets is None else list(targets),
        exclude_modules=_left_out(targets),
        modules_to_save=None if whole is None else list(whole),
        use_dora=dora,
        use_rslora=rslora,
    )


def check_layers(
    model: PreTrainedModel, *, lora_targets: Sequence[str] | None = None, modules_to_save: Sequence[str] | None = None
) -> None:
    """Each name is that of a module, or its end, and those of `lora_targets` of one that an adapter goes on.

    peft leaves out without a word what it does not find, what is excluded and what is trained whole.

    Raises:
        InputError: no module of the model is called so, or none that takes an adapter, or can be trained whole.
    """
    for key, names in (("lora_targets", lora_targets), ("modules_to_save", modules_to_save)):
        for one in names or ():
            if not one or not _called(one, model):
                raise InputError(
                    f"{key} names {one!r}, and no part of {type(model).__name__} is called so; name parts of it, such "
                    f"as {', '.join(_like(one, model, linear=key == 'lora_targets'))}."
                )
    whole = {one: list(_called(one, model).values()) for one in modules_to_save or ()}
    _check_whole(model, whole)
    trained = {id(inner) for parts in whole.values() for part in parts for inner in part.modules()}
    if whole and lora_targets is None and not _leaves_layers(model, trained):
        raise InputError(
            f"modules_to_save names {', '.join(whole)}, which leaves no layer for adapters; train the whole model by "
            "--full, or name less."
        )
    _check_targets(model, lora_targets or (), trained)


def _check_whole(model: PreTrainedModel, whole: dict[str, list[nn.Module]]) -> None:
    """Of the modules that `modules_to_save` names, by name."""
    for one, parts in whole.items():
        empty = next((part for part in parts if not _is_trained(part)), None)
        if empty is not None:
            raise InputError(
                f"modules_to_save names {one!r}, and a {type(empty).__name__} cannot be trained by itself; name a part "
                f"that has weights, such as {', '.join(_like(one, model, linear=False))}."
            )
        within = {id(inner) for part in parts for inner in part.modules()}
        for other in whole:
            if other != one and any(id(part) in within for part in whole[other]):
                raise InputError(
                    f"modules_to_save names {one!r} and {other!r}, which is a part of it; leave out the latter."
                )


def _leaves_layers(model: PreTrainedModel, trained: set[int]) -> bool:
    """Whether there are linear layers for adapters, as peft knows them, beside the modules of these `id`s."""
    from torch import nn
    from transformers.pytorch_utils import Conv1D

    return any(
        isinstance(part, (nn.Linear, Conv1D))
        for path, part in model.named_modules()
        if id(part) not in trained and part is not model.get_output_embeddings() and not re.fullmatch(_SEEING, path)
    )


def _check_targets(model: PreTrainedModel, targets: Sequence[str], trained: set[int]) -> None:
    """Of the names in `lora_targets`.

    Args:
        trained: `id` of each module that is trained whole.
    """
    left_out = _left_out(targets)
    for one in targets:
        called = _called(one, model)
        meant = [part for path, part in called.items() if not re.fullmatch(left_out, path)]
        if not meant:
            raise InputError(
                f"lora_targets names {one!r}, which the vision tower alone has, and adapters go there only where a "
                f"name says so; name it with its place, such as {next(iter(called))}."
            )
        if any(part is model.get_output_embeddings() for part in meant):
            raise InputError(
                f"lora_targets names {one!r}, the head over the vocabulary, where TRL takes no adapter; leave it out."
            )
        if all(id(part) in trained for part in meant):
            raise InputError(
                f"lora_targets names {one!r}, which modules_to_save trains whole; leave it out of one of them."
            )
        unfit = next((part for part in meant if not _takes_adapter(part)), None)
        if unfit is not None:
            raise InputError(
                f"lora_targets names {one!r}, and a {type(unfit).__name__} takes no adapter; name layers, such as "
                f"{', '.join(_like(one, model, linear=True))}."
            )


def _left_out(targets: Sequence[str] | None) -> str:
    """The pattern of modules that no adapter goes on: the vision tower but for what a name of it says."""
    named = [re.escape(name) for name in targets or () if re.fullmatch(_SEEING, name)]
    return rf"(?!(.*\.)?({'|'.join(named)})$){_SEEING}" if named else _SEEING


def _is_trained(part: nn.Module) -> bool:
    """Whether peft can train it whole: it has weights, and is no list of modules."""
    from torch import nn

    return any(True for _ in part.parameters()) and not isinstance(part, (nn.ModuleList, nn.ModuleDict))


def _called(name: str, model: nn.Module) -> dict[str, nn.Module]:
    """The modules whose path is this or ends with it."""
    return {path: part for path, part in model.named_modules() if path == name or path.endswith(f".{name}")}


def _takes_adapter(part: nn.Module) -> bool:
    """Whether it is a layer with a matrix of weights, also a quantised one; and not a norm, or a part of several."""
    from torch import nn

    if isinstance(part, nn.MultiheadAttention):
        return True
    if list(part.children()):
        return False
    weight = getattr(part, "weight", None)
    if weight is None:  # of some quantised layers it is called otherwise
        return any(True for _ in (*part.parameters(), *part.buffers()))
    return weight.ndim > 1


def _is_large(path: str, part: nn.Module) -> bool:
    """Whether it is one of the parts a model is made of (its projector), or its head."""
    return path.count(".") == 1 or bool(path and "." not in path and not list(part.children()))


def _like(name: str, model: nn.Module, *, linear: bool) -> list[str]:
    """Up to three names that `lora_targets` (linear layers) or `modules_to_save` could have said, the likest first."""
    from torch import nn

    there = {
        path: path.rpartition(".")[2]
        for path, part in model.named_modules()
        if (isinstance(part, nn.Linear) and not re.fullmatch(_SEEING, path) if linear else _is_large(path, part))
    }
    ends = list(dict.fromkeys(end for end in there.values() if not end.isdigit()))
    return (difflib.get_close_matches(name, ends, n=3) or ends)[:3]


def freeze_vision(model: nn.Module) -> None:
    """Leave what sees as it is: vision tower, and what of the connector is part of it (Qwen's merger).

    Raises:
        InputError: no part of the model is called so.
    """
    seeing = [weight for name, weight in model.named_parameters() if re.fullmatch(_SEEING, name)]
    if not seeing:
        raise InputError(f"No part of {type(model).__name__} is called vision or visual; leave out freeze_vision.")
    for weight in seeing:
        weight.requires_grad_(False)


def finish_adapter(folder: str | os.PathLike) -> None:
    """Make the config of an adapter that peft has saved the same on every machine and after every run.

    peft writes the places of adapters in the order of a set, and the base model as the folder it was loaded from, which
    for the bundled model is a folder of this installation: `causal_attrib.load` finds it by its name.

    Args:
        folder: what was saved; without an adapter nothing is done.
    """
    path = Path(folder) / "adapter_config.json"
    if not path.is_file():
        return
    config = json.loads(path.read_text("utf-8"))
    for name in ("target_modules", "modules_to_save"):
        if isinstance(config.get(name), list):
            config[name] = sorted(config[name])
    if config.get("base_model_name_or_path") == BUNDLED_FOLDER:
        config["base_model_name_or_path"] = BUNDLED
    replace_file(path, (json.dumps(config, indent=2, sort_keys=True) + "\n").encode())

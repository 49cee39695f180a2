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
        targets: names of other layers, or ends of them; those of the vision tower only if one of them names it.
        whole: names of modules that are trained whole, and saved with the adapters.
        dora: DoRA (arXiv 2402.09353).
        rslora: rsLoRA (arXiv 2312.03732).
    """
    from peft import LoraConfig

    seeing = targets is not None and any(re.fullmatch(_SEEING, name) for name in targets)
    return LoraConfig(
        r=rank,
        lora_alpha=alpha,
        lora_dropout=dropout,
        target_modules="all-linear" if targets is None else list(targets),
        exclude_modules=None if seeing else _SEEING,
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
        InputError: no module of the model is called so, or none that takes an adapter.
    """
    for key, names in (("lora_targets", lora_targets), ("modules_to_save", modules_to_save)):
        for one in names or ():
            if not one or not _called(one, model):
                raise InputError(
                    f"{key} names {one!r}, and no part of {type(model).__name__} is called so; name parts of it, such "
                    f"as {', '.join(_like(one, model, linear=key == 'lora_targets'))}."
                )
    seeing = any(re.fullmatch(_SEEING, one) for one in lora_targets or ())
    whole = tuple(part for one in modules_to_save or () for part in _called(one, model).values())
    trained = {id(inner) for part in whole for inner in part.modules()}
    for one in lora_targets or ():
        called = _called(one, model)
        meant = [part for path, part in called.items() if seeing or not re.fullmatch(_SEEING, path)]
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


def _called(name: str, model: nn.Module) -> dict[str, nn.Module]:
    """The modules whose path is this or ends with it."""
    return {path: part for path, part in model.named_modules() if path == name or path.endswith(f".{name}")}


def _takes_adapter(part: nn.Module) -> bool:
    """Whether it is a layer with a matrix of weights, also a quantised one; and not a norm, or a part of several."""
    from torch import nn

    if isinstance(part, nn.MultiheadAttention):
        return True
    weight = getattr(part, "weight", None)
    if weight is None:  # of some quantised layers it is called otherwise
        return not list(part.children()) and any(True for _ in (*part.parameters(), *part.buffers()))
    return not list(part.children()) and weight.ndim > 1


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

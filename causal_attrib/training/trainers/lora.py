"""Adapters for vision-language models."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from causal_attrib.io.atomic import replace_file
from causal_attrib.vlm.loading import BUNDLED, BUNDLED_FOLDER

if TYPE_CHECKING:
    from peft import LoraConfig

# How transformers calls the part of a model that sees: vision_tower, vision_model, visual.
_SEEING = r".*(vision|visual).*"


def lora_config(rank: int = 16, alpha: int = 32, dropout: float = 0.0) -> LoraConfig:
    """LoRA (arXiv 2106.09685) on every linear layer but those of the vision tower and the head over the vocabulary.

    peft knows no default places for these models, and TRL takes none on the head. Dropout does not reach scores, which
    are taken without it.
    """
    from peft import LoraConfig

    return LoraConfig(
        r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules="all-linear", exclude_modules=_SEEING
    )


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

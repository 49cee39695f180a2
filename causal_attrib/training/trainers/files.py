"""What our trainers do about files and the network, whichever of TRL's they stand on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn
from transformers import Trainer

from causal_attrib.io.atomic import replace_file
from causal_attrib.training.trainers.lora import finish_adapter
from causal_attrib.training.trainers.resume import restore
from causal_attrib.training.trainers.sharding import begin_states


class OwnFiles(Trainer):
    """First among the bases, before a trainer of TRL: adapters are finished, checkpoints restored, nothing reported."""

    # Writes the model card of what is saved; without it TRL's is written.
    card: Callable[[], str] | None = None

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        super().save_model(output_dir, _internal_call)
        if self.args.should_save:
            folder = output_dir or str(self.args.output_dir)
            finish_adapter(folder)
            if self.card is not None:
                replace_file(Path(folder) / "README.md", self.card().encode())

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        # TRL's does not know the base of an adapter, nor the method.
        if self.card is None:
            super().create_model_card(*args, **kwargs)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        if not restore(self, resume_from_checkpoint, model):
            super()._load_from_checkpoint(resume_from_checkpoint, model)

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        if self.is_fsdp_enabled and self.optimizer is not None:
            begin_states(self.optimizer)
        super()._save_optimizer_and_scheduler(output_dir)

    def _send_telemetry(self) -> None:
        # TRL reports on each trainer that is made; nothing here calls the network but for a model that lies there.
        return

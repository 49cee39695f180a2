"""What our trainers do about files and the network, whichever of TRL's they stand on."""

from __future__ import annotations

from torch import nn
from transformers import Trainer

from causal_attrib.training.trainers.lora import finish_adapter
from causal_attrib.training.trainers.resume import restore


class OwnFiles(Trainer):
    """First among the bases, before a trainer of TRL: adapters are finished, checkpoints restored, nothing reported."""

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        super().save_model(output_dir, _internal_call)
        if self.args.should_save:
            finish_adapter(output_dir or str(self.args.output_dir))

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        if not restore(self, resume_from_checkpoint, model):
            super()._load_from_checkpoint(resume_from_checkpoint, model)

    def _send_telemetry(self) -> None:
        # TRL reports on each trainer that is made; nothing here calls the network but for a model that lies there.
        return

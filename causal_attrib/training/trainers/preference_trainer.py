"""DPO (arXiv 2305.18290) on rows of pictures: TRL's trainer, with our files, clock and places of pictures."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from transformers import PreTrainedModel
from trl import DPOConfig, DPOTrainer
from trl.trainer.dpo_trainer import DataCollatorForVisionPreference

from causal_attrib.errors import InputError
from causal_attrib.training.data.places import bare
from causal_attrib.training.trainers.files import OwnFiles
from causal_attrib.training.trainers.frozen_norms import keep_frozen_norms
from causal_attrib.training.trainers.sharding import LayersOfTheModel
from causal_attrib.training.watch.phases import UPDATE, PhaseClock


class PreferenceCollator(DataCollatorForVisionPreference):
    """TRL's, for rows that come out of a table, which gives every block of a prompt every key."""

    def torch_call(self, examples: list[dict]) -> dict:
        return super().torch_call([example | {"prompt": bare(example["prompt"])} for example in examples])


class PreferenceTrainer(LayersOfTheModel, OwnFiles, DPOTrainer):
    """`trl.DPOTrainer` for pictures; its loss is TRL's.

    The reference is TRL's: a model of its own, or the policy without its adapter.

    Attributes:
        clock: of the update, whose seconds are logged as seconds/update.

    Raises:
        InputError: settings of TRL that do not go with pictures.
    """

    _tag_names = ["trl", "dpo"]

    # As TRL has it once it is made.
    model: PreTrainedModel

    def __init__(self, model: Any, *, args: DPOConfig, processing_class: Any, **others: Any) -> None:
        self.clock = PhaseClock()
        if args.max_length is not None:
            raise InputError("max_length would cut off image tokens; set it to None, and shorten the texts instead.")
        if args.precompute_ref_log_probs:
            raise InputError("Reference log-probabilities cannot be had before with pictures; leave that option out.")
        # TRL would drop columns that a collator of ours reads.
        args.remove_unused_columns = False
        collator = others.pop("data_collator", None) or PreferenceCollator(processing_class)
        super().__init__(model, args=args, processing_class=processing_class, data_collator=collator, **others)
        keep_frozen_norms(self.model)

    def training_step(self, *args: Any, **kwargs: Any) -> Tensor:
        with self.clock.phase(UPDATE):
            return super().training_step(*args, **kwargs)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        self.clock.note(logs)
        super().log(logs, start_time)

"""SymMPO (arXiv 2506.11712) on TRL's DPO trainer: a collator, and its public `compute_loss`.

A row has a picture with two responses to one prompt, and a contrastive picture with what is preferred for that:
`image`, `prompt`, `chosen`, `rejected`, `image_contrast`, `chosen_contrast`.

Axes: S sequences, L positions, V vocabulary, B rows.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from trl import DPOConfig
from trl.trainer.utils import use_adapter

from causal_attrib.objectives import LogRatios, log_ratio, symmpo_loss
from causal_attrib.training.data.pairs import contrastive_pairs
from causal_attrib.training.recipe.method import SymMPO
from causal_attrib.training.trainers.preference_trainer import PreferenceCollator, PreferenceTrainer


class SymMPOCollator(PreferenceCollator):
    """Rows to three blocks of preference pairs: (m: yw > yl), (m: yw > yw'), (m': yw' > yw).

    TRL's collator gives the chosen responses of all pairs, then the rejected ones. Of the six sequences per row one
    stands twice: (m, yw).
    """

    def torch_call(self, examples: list[dict]) -> dict:
        pairs = [contrastive_pairs(example) for example in examples]
        return super().torch_call([pair for kind in zip(*pairs, strict=True) for pair in kind])


class SymMPOTrainer(PreferenceTrainer):
    """`trl.DPOTrainer` with the loss of `objectives.symmpo_loss`; 4 ln 2 before the first step.

    The reference is TRL's: a model of its own, or the policy without its adapter.

    Args:
        method: weights of the loss; its beta is that of `DPOConfig`.

    Attributes:
        clock: of the update, whose seconds are logged as seconds/update.

    Raises:
        InputError: settings of TRL that do not go with this.
    """

    _tag_names = ["trl", "symmpo"]

    def __init__(
        self, model: Any, *, args: DPOConfig, processing_class: Any, method: SymMPO | None = None, **others: Any
    ) -> None:
        collator = SymMPOCollator(processing_class)
        super().__init__(model, args=args, processing_class=processing_class, data_collator=collator, **others)
        self.method = method or SymMPO()

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Tensor | tuple[Tensor, dict[str, Tensor]]:
        counted_SL = inputs["completion_mask"][:, 1:]
        logprob_SL = _logprobs(model, inputs, tail=self._tail)
        with torch.no_grad(), self._reference(model) as reference:
            reference_SL = _logprobs(reference, inputs, tail=self._tail)
        chosen, rejected = (half.chunk(3) for half in log_ratio(logprob_SL, reference_SL, counted_SL).chunk(2))
        ratios = LogRatios(
            chosen=chosen[0],
            rejected=rejected[0],
            other=rejected[1],
            contrast_chosen=chosen[2],
            contrast_other=rejected[2],
        )
        method = self.method
        loss = symmpo_loss(
            ratios,
            beta=self.beta,
            pair=method.pair,
            margin=method.margin,
            anchor=method.anchor,
            delta=method.delta,
            margin_in_reward_units=method.margin_in_reward_units,
        )
        self._log_terms(ratios, loss._asdict())
        mean = loss.loss_B.mean()
        return (mean, {"loss": mean}) if return_outputs else mean

    @functools.cached_property
    def _tail(self) -> bool:
        """Whether the model can be asked for its last logits alone."""
        model = self.accelerator.unwrap_model(self.model)
        model = model if isinstance(model, PreTrainedModel) else model.get_base_model()
        return "logits_to_keep" in inspect.signature(model.forward).parameters

    def prediction_step(
        self,
        model: nn.Module,
        inputs: dict[str, Tensor],
        prediction_loss_only: bool,
        ignore_keys: list[str] | None = None,
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        # There are no logits to hand on: a pair of pictures has several rows.
        return super().prediction_step(model, inputs, True, ignore_keys)

    @contextmanager
    def _reference(self, model: nn.Module) -> Iterator[nn.Module]:
        """What the policy is compared with: a model of its own, or the policy without what is trained."""
        if self.ref_model is not None:
            yield self.ref_model
            return
        adapted = self.accelerator.unwrap_model(self.model)
        # TRL copies an adapter that was there before the training under the name "ref".
        with use_adapter(adapted, "ref" if "ref" in adapted.peft_config else None):
            yield model

    def _log_terms(self, ratios: LogRatios, terms: dict[str, Tensor]) -> None:
        shown = {name.removesuffix("_B"): value for name, value in terms.items() if name != "loss_B"}
        shown["preferred"] = (ratios.chosen > ratios.rejected).float()
        shown["preferred_with_picture"] = (ratios.chosen > ratios.other).float()
        for name, value_B in shown.items():
            mean = self.accelerator.gather(value_B.detach()).mean().item()
            self._metrics["train" if self.model.training else "eval"][f"symmpo/{name}"].append(mean)


def _logprobs(model: nn.Module, inputs: dict[str, Tensor], *, tail: bool) -> Tensor:
    """Log-probabilities (S, L - 1) of each token from the second on, in float32; 0 where it is none of a response.

    Args:
        tail: the model knows `logits_to_keep`.
    """
    shown = {name: value for name, value in inputs.items() if name != "completion_mask"}
    counted_SL = inputs["completion_mask"][:, 1:].bool()
    # From the first response on: the logits of a large vocabulary are the largest thing in memory.
    first = int(counted_SL.any(0).int().argmax()) if tail else 0
    kept = {"logits_to_keep": counted_SL.shape[1] + 1 - first} if tail else {}
    logits_NV = model(**shown, **kept, use_cache=False).logits[:, :-1][counted_SL[:, first:]].float()
    ids_N = inputs["input_ids"][:, 1:][counted_SL]
    logprob_N = logits_NV.gather(1, ids_N[:, None])[:, 0] - logits_NV.logsumexp(1)
    return logprob_N.new_zeros(counted_SL.shape).masked_scatter(counted_SL, logprob_N)

"""A model in memory with its processor, and what is known of both without a forward."""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel, ProcessorMixin

from causal_attrib.errors import InputError
from causal_attrib.vlm.families import choose_family
from causal_attrib.vlm.processors import ImageAndTokenizer

# Of transformers' own make, or of two parts of one.
Processor = ProcessorMixin | ImageAndTokenizer


class LoadedModel:
    """What encoding, reading and writing share.

    The model is put in eval mode, since dropout would make scores random.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        processor: ProcessorMixin | ImageAndTokenizer,
        *,
        name: str,
        revision: str | None = None,
    ):
        self.model = model.eval()
        # Any: the parts of a processor are those of its own class.
        self.processor: Any = processor
        self.tokenizer: Any = processor.tokenizer
        self.family = choose_family(model, processor)
        self._apart = True if self.family.keeps_apart else None
        self.name = name
        self.revision = revision

    def __repr__(self) -> str:
        return f"VLM({self.name!r}, {type(self.model).__name__}, {self.record['dtype']} on {self.model.device})"

    @property
    def record(self) -> dict:
        """The `model` entry of the JSON schema."""
        return {
            "id": self.name,
            "revision": self.revision,
            "dtype": str(self.model.dtype).removeprefix("torch."),
            "device": str(self.model.device),
            "attn": self.model.config._attn_implementation,
            "quantization": _quantization(self.model.config),
        }

    @functools.cached_property
    def pad_id(self) -> int:
        """An id to fill up rows with; it is never attended to."""
        pad = self.tokenizer.pad_token_id
        return self.tokenizer.eos_token_id if pad is None else pad

    @functools.cached_property
    def unwritable_ids(self) -> list[int]:
        """Ids the model must not write: a sampled image placeholder would make the next forward fail."""
        tokenizer = self.tokenizer
        never = {tokenizer.bos_token_id, tokenizer.unk_token_id, self.pad_id} | self.family.image_ids
        return sorted(never - {None, tokenizer.eos_token_id} - self.family.end_ids)

    @functools.cached_property
    def end_ids(self) -> set[int]:
        """Ids that what is written ends before."""
        return self.family.end_ids | {self.pad_id}

    @functools.cached_property
    def mean_embedding_D(self) -> Tensor:
        """Mean input embedding over the vocabulary, as the embedding layer gives it out (scaling included)."""
        return _mean_output(self.family.embedding)

    @functools.cached_property
    def mean_per_layer_embedding_D(self) -> Tensor:
        """The same of the per-layer embeddings, all layers one behind the other."""
        assert self.family.per_layer_embedding is not None
        return _mean_output(self.family.per_layer_embedding)

    def mean_embedding(self, table: nn.Module) -> Tensor:
        """The mean of one of the family's tables."""
        return self.mean_embedding_D if table is self.family.embedding else self.mean_per_layer_embedding_D

    @torch.no_grad()
    def keeps_apart(self, one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
        """Whether rows with different pictures are read in one forward as each alone; looked at once a model.

        Where parts of a picture are numbered through the batch (Molmo 2), every row would be shown the first picture.

        Args:
            one, other: inputs of the same shapes (batch 1). Of the second only the picture is taken; if it is that of
                the first, which tells nothing, the answer is no.
        """
        if self._apart is None:
            second = one | pictures_in(other)
            rows = [self.family.extend(inputs, [()], self.pad_id) for inputs in (one, second)]
            alone_2V = torch.cat([self.family.logits(row, 1)[:, -1].float() for row in rows])
            both = {name: torch.cat([row[name] for row in rows]) for name in rows[0]}
            together_2V = self.family.logits(both, 1)[:, -1].float()
            # An id that a model rules out has the logit -inf everywhere.
            moved, apart = (
                torch.where(a == b, 0.0, (a - b).abs()).max() for a, b in (alone_2V, (together_2V, alone_2V))
            )
            if moved == 0:
                return False
            self._apart = bool(apart <= 0.5 * moved)
        return self._apart

    def check_length(self, prompt: int, rest: int) -> None:
        """Raises InputError if the model does not read so many tokens."""
        longest = self.family.longest
        if longest is not None and prompt + rest > longest:
            raise InputError(
                f"Picture and prompt take {prompt} tokens and the caption {rest} more, but {self.name} reads at most "
                f"{longest}; shorten the caption."
            )


def pictures_in(inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """What of a model's inputs is the picture: numbers that are no ids, and no masks, which may be such numbers too."""
    return {name: value for name, value in inputs.items() if value.is_floating_point() and "mask" not in name}


@torch.no_grad()
def _mean_output(table: nn.Module) -> Tensor:
    weight_VD = table.get_parameter("weight")
    ids = torch.arange(len(weight_VD), device=weight_VD.device)
    nothing = torch.zeros((), device=ids.device)
    total_D = sum((table(part).float().sum(0) for part in ids.split(8192)), start=nothing)
    return total_D / len(ids)


def _quantization(config: PreTrainedConfig) -> str | None:
    """The method that weights are quantised by, and to how many bits where it says so."""
    how = getattr(config, "quantization_config", None)
    if how is None:
        return None
    how = how if isinstance(how, dict) else how.to_dict()
    bits = how.get("bits") or (4 if how.get("load_in_4bit") else 8 if how.get("load_in_8bit") else None)
    method = str(getattr(how.get("quant_method"), "value", how.get("quant_method") or "quantised"))
    return f"{method}, {bits} bits" if bits else method

"""From ids to logits, by ordinary forwards."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from causal_attrib.errors import InputError
from causal_attrib.vlm.continuation import Continuation
from causal_attrib.vlm.encoding import Encoding
from causal_attrib.vlm.hiding import hide
from causal_attrib.vlm.loaded import LoadedModel


class Reader(LoadedModel):
    """A model that is read."""

    @torch.no_grad()
    def read(self, encoding: Encoding, rows: Sequence[Continuation]) -> list[Tensor]:
        """Logits along each row, from one ordinary forward over rows that share one picture or its reference image.

        Args:
            encoding: gives picture and prompt.
            rows: what follows the prompt; rows of different length are padded on the right.

        Returns:
            For each row a float32 tensor (len(ids) + 1, V): entry t holds the logits of the token behind `ids[:t]`.

        Raises:
            InputError: the model's numbers are NaN.
        """
        (is_reference,) = {row.reference for row in rows}
        inputs = self.family.extend(
            encoding.reference_inputs if is_reference else encoding.prompt_inputs,
            [row.ids for row in rows],
            self.pad_id,
        )
        longest = max(len(row.ids) for row in rows)
        self.check_length(encoding.prompt_length, longest)
        with hide(self, rows, encoding.prompt_length):
            logits_BTV = self.family.logits(inputs, longest + 1).float()
        self.check_numbers(logits_BTV)
        return [logits_TV[: len(row.ids) + 1] for row, logits_TV in zip(rows, logits_BTV, strict=True)]

    def check_numbers(self, values: Tensor) -> None:
        """Raises InputError if one of the model's numbers is NaN."""
        if torch.isnan(values).any():
            raise InputError(
                f"{self.name} gives NaN; its weights are damaged, or the dtype is too narrow (try --dtype float32)."
            )

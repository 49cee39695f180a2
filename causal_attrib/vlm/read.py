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

# How far logits behind a hidden word may move when another word is hidden there. A word that is read moves them by a
# tenth and more, rounding by 1e-6 in float32.
LEAK = 1e-3
# Tokens of the text that is read to find that out.
_CHECKED = 16


class Reader(LoadedModel):
    """A model that is read."""

    _hides = False

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

    def check_hiding(self, encoding: Encoding) -> None:
        """Raises InputError if a word that is hidden by its embedding is read all the same; looked at once a model.

        Two words are hidden in one place of the response. What follows them must be expected alike.
        """
        if self._hides:
            return
        # Not of a long text, and one by one: this would take more memory than all that comes after it.
        ids = encoding.response_ids[:_CHECKED]
        place = len(ids) // 2
        hidden = Continuation(ids, (place,))
        rows = [hidden, Continuation(self.with_another(ids, place), (place,)), hidden]
        a_TV, b_TV, again_TV = (self.read(encoding, [row])[0][place + 1 :] for row in rows)
        leak, noise = _largest_change(a_TV, b_TV), _largest_change(a_TV, again_TV)
        rounding = max(LEAK, torch.finfo(self.model.dtype).eps * a_TV.amax(-1).abs().max().item())
        # Where the same row moves as well, dropout is on: the doctor tells of that.
        if leak > max(rounding, 4 * noise):
            raise InputError(
                f"{self.name} still reads words that are hidden from it (a logit behind one moves by {leak:.2g}); "
                f"hide words with --mask token or delete instead."
            )
        self._hides = leak <= rounding

    def with_another(self, ids: Sequence[int], place: int) -> tuple[int, ...]:
        """Ids with another word in one place."""
        never = {*self.tokenizer.all_special_ids, *self.unwritable_ids, *self.end_ids, ids[place]}
        other = next(token for token in (*ids, *range(len(self.tokenizer))) if token not in never)
        return (*ids[:place], other, *ids[place + 1 :])

    def check_numbers(self, values: Tensor) -> None:
        """Raises InputError if one of the model's numbers is NaN."""
        # The largest is NaN then. To ask of each would take memory for all.
        if values.numel() and torch.isnan(values.amax()):
            raise InputError(
                f"{self.name} gives NaN; its weights are damaged, or the dtype is too narrow (try --dtype float32)."
            )


def _largest_change(a_TV: Tensor, b_TV: Tensor) -> float:
    # An id that a model rules out has the logit -inf in both.
    return torch.where(a_TV == b_TV, 0.0, (a_TV - b_TV).abs()).max().item()

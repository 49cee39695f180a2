"""Batched forwards over many pictures: a target as a differentiable function of what the model is shown.

Axes: N pictures (or sets of image features), R rows of the target, M functions, T tokens, V vocabulary. `shown_NX` has
N pictures in front of whatever shape the processor gives one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator

import torch
from PIL import Image
from torch import Tensor
from transformers import PreTrainedModel

from causal_attrib.choices import BatchSize
from causal_attrib.errors import InputError
from causal_attrib.io.pictures import at_least_smallest
from causal_attrib.scores.saliency_methods.target import Target
from causal_attrib.vlm import VLM, Encoding
from causal_attrib.vlm.modes import eval_mode


class Reader:
    """Reads a target off a model, for any pictures of one size.

    Attributes:
        count: rows put through the model so far.

    Raises:
        InputError: the model is given the picture in more than one tensor.
    """

    def __init__(
        self,
        vlm: VLM,
        encoding: Encoding,
        target: Target,
        batch_size: int = 4,
        on_done: Callable[[int], None] = lambda rows: None,
    ):
        self.vlm = vlm
        self.encoding = encoding
        self.target = target
        self.batch_size = batch_size
        self.on_done = on_done
        self.count = 0
        # Masks may be floating-point too (Pix2Struct).
        names = [
            name for name, value in encoding.prompt_inputs.items() if value.is_floating_point() and "mask" not in name
        ]
        if len(names) > 1:
            raise InputError(
                f"{vlm.name} is given the picture more than once ({', '.join(names)}), and a map would change only the "
                "first; there are no maps for it."
            )
        self.input_name = names[0]
        self._before = vlm.family.converse(encoding.prompt).before

    def pixels(self, picture: Image.Image) -> Tensor:
        """What the processor makes of a picture of the same size, with a leading axis of one: (1, ...)."""
        value = self.vlm.family.prompt_inputs(self._before, at_least_smallest(picture))[self.input_name]
        return value.to(self.vlm.model.device, self.vlm.model.dtype)[None]

    def scores(self, shown_NX: Tensor) -> Tensor:
        """Values (N, M) of the target for N pictures, float32, in one forward where that keeps them apart.

        Differentiable in `shown_NX`.

        Raises:
            InputError: the model's numbers are NaN.
        """
        rows, family = self.target.rows, self.vlm.family
        count = len(shown_NX)
        if count > 1 and not self.vlm.keeps_apart(self.encoding.prompt_inputs, self.encoding.reference_inputs):
            return torch.cat([self.scores(shown_1X) for shown_1X in shown_NX.split(1)])
        inputs = family.extend(self.encoding.prompt_inputs, list(rows) * count, self.vlm.pad_id)
        # Pictures lie along the first axis of what a processor gives, whether it is one entry each or several (tiles).
        inputs[self.input_name] = shown_NX.repeat_interleave(len(rows), 0).flatten(0, 1)
        longest = max(map(len, rows))
        logits_BTV = family.logits(inputs, longest + 1).float()
        self.count += count * len(rows)
        self.on_done(count * len(rows))
        if torch.isnan(logits_BTV).any():
            raise InputError(
                f"{self.vlm.name} gives NaN; its weights are damaged, or the dtype is too narrow (try --dtype float32)."
            )
        logprob_NRT = self._logprobs(logits_BTV, longest).unflatten(0, (count, len(rows)))
        return torch.stack(
            [
                sum(part.sign * logprob_NRT[:, part.row, list(part.positions)].sum(-1) for part in parts)
                for parts in self.target.parts
            ],
            dim=-1,
        )

    @torch.no_grad()
    def read_many(self, shown: Iterable[Tensor], scores: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """Values (N, M) for N pictures given one by one, `batch_size` to a forward, on the CPU."""
        scores = scores or self.scores
        found: list[Tensor] = []
        waiting: list[Tensor] = []
        for shown_1X in shown:
            waiting.append(shown_1X)
            if len(waiting) == self.batch_size:
                found.append(scores(torch.cat(waiting)).cpu())
                waiting = []
        if waiting:
            found.append(scores(torch.cat(waiting)).cpu())
        return torch.cat(found)

    def _logprobs(self, logits_BTV: Tensor, longest: int) -> Tensor:
        rows = self.target.rows
        ids_RT = torch.zeros(len(rows), longest, dtype=torch.long, device=logits_BTV.device)
        for index, row in enumerate(rows):
            ids_RT[index, : len(row)] = torch.tensor(row)
        ids_BT = ids_RT.repeat(len(logits_BTV) // len(rows), 1)
        return logits_BTV[:, :-1].log_softmax(-1).gather(-1, ids_BT[..., None])[..., 0]


def rows_at_once(vlm: VLM, asked: BatchSize, keeps_graph: bool = False) -> int:
    """How many pictures to put into a forward: what was asked for, or for "auto" what suits the device.

    On a CPU more than a few gain nothing; a row whose graph is kept takes gigabytes in a large model.
    """
    if asked != "auto":
        return asked
    return 4 if vlm.model.device.type == "cpu" or keeps_graph else 16


@contextlib.contextmanager
def frozen(model: PreTrainedModel) -> Iterator[None]:
    """No gradient for any parameter and eval mode while the context lasts; then everything is as it was."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    model.requires_grad_(False)
    try:
        with eval_mode(model):
            yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)

"""What a model writes itself, by transformers' own `generate`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from transformers import LogitsProcessor, LogitsProcessorList

from causal_attrib.errors import InputError
from causal_attrib.io.pictures import ImageLike, read_picture
from causal_attrib.vlm.continuation import Continuation
from causal_attrib.vlm.encode import Encoder
from causal_attrib.vlm.encoding import Encoding
from causal_attrib.vlm.generation import plain_generation
from causal_attrib.vlm.hiding import hide
from causal_attrib.vlm.loaded import pictures_in
from causal_attrib.vlm.text import decode
from causal_attrib.vlm.threads import on_suited_threads

# A caption that the model writes itself, when the user gives none.
LONGEST_CAPTION = 256


# What is added to the logits of a token, given its place behind the prompt, the size of the vocabulary and the device.
Noise = Callable[[int, int, torch.device], Tensor]


class Writer(Encoder):
    """A model that writes."""

    @torch.no_grad()
    def write(
        self, encoding: Encoding, row: Continuation, longest: int, noises: Sequence[Noise | None] = (None,)
    ) -> list[tuple[int, ...]]:
        """Let the model go on behind `row`: transformers' own greedy `generate`, once for each noise.

        Gumbel noise on the logits turns greedy search into sampling (`engine.gumbel`).

        Args:
            longest: largest number of new tokens.
            noises: one per continuation, None for the plain greedy one; called with the place of the token behind the
                prompt, the size of the vocabulary and the device.

        Returns:
            The new ids of each continuation, end-of-sequence and what follows it cut off.
        """
        inputs = encoding.reference_inputs if row.reference else encoding.prompt_inputs
        with hide(self, [row] * len(noises), encoding.prompt_length):
            rows = self.family.extend(inputs, [row.ids] * len(noises), self.pad_id)
            return self._generate(rows, longest, _RowNoise(noises, len(row.ids)))

    def describe(self, image: ImageLike, prompt: str | None = None) -> tuple[int, ...]:
        """Ids of the caption that the model itself writes (greedy)."""
        (ids,) = self.write_together([self.ask(image, prompt)], LONGEST_CAPTION)
        if not decode(self.tokenizer, ids).strip():
            raise InputError(f"{self.name} wrote no caption for this image; give one yourself.")
        return ids

    def ask(self, image: ImageLike, prompt: str | None = None) -> dict[str, Tensor]:
        """The model's inputs (batch 1) when it is shown a picture and asked `prompt`, up to where it begins to speak.

        Raises:
            InputError: a picture that cannot be read or that the processor refuses, or a prompt that is too long or
                holds a special token.
        """
        prompt = self.family.default_prompt if prompt is None else prompt
        self._check_prompt(prompt, None, None, True)
        talk = self.family.converse(prompt)
        inputs = self.prompt_inputs(talk.before, read_picture(image).shown)
        self.check_length(inputs[self.family.row].shape[1], 1)
        return inputs

    @on_suited_threads
    @torch.no_grad()
    def write_together(self, asked: Sequence[dict[str, Tensor]], longest: int) -> list[tuple[int, ...]]:
        """Ids of what the model itself says (greedy) to each of B inputs of `ask`, all of the same shapes.

        Equal shapes need no padding, which not every architecture takes without other numbers.

        Args:
            longest: largest number of new tokens.
        """
        first, *others = asked
        another = next((each for each in others if _other_picture(each, first)), None)
        if another is not None and not self.keeps_apart(first, another):
            return [ids for one in asked for ids in self._generate(one, longest, _RowNoise([None], 0))]
        inputs = {name: torch.cat([one[name] for one in asked]) for name in asked[0]}
        return self._generate(inputs, longest, _RowNoise([None] * len(asked), 0))

    def room(self, length: int, longest: int) -> int:
        """How many of `longest` new tokens fit behind a row of `length` (prompt included)."""
        limit = self.family.longest
        return max(longest if limit is None else min(longest, limit - length), 0)

    def _generate(self, inputs: dict[str, Tensor], longest: int, noise: _RowNoise) -> list[tuple[int, ...]]:
        longest = self.room(inputs[self.family.row].shape[1], longest)
        if longest == 0:
            return [()] * len(noise.noises)
        start = noise.place
        with plain_generation(self.model):
            written_BN = self.family.generate(
                inputs,
                max_new_tokens=longest,
                do_sample=False,
                pad_token_id=self.pad_id,
                suppress_tokens=self.unwritable_ids,
                logits_processor=LogitsProcessorList([noise]),
            )
        if noise.place == start:
            raise InputError(
                f"{type(self.model).__name__} writes by rules of its own, so that what it writes is not known to be "
                f"likely; give the text yourself, and choose scores that sample nothing."
            )
        return [self._until_end(ids) for ids in written_BN.tolist()]

    def _until_end(self, ids: list[int]) -> tuple[int, ...]:
        stop = next((i for i, token in enumerate(ids) if token in self.end_ids), len(ids))
        return tuple(ids[:stop])


def _other_picture(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return any(not torch.equal(value, other[name]) for name, value in pictures_in(one).items())


class _RowNoise(LogitsProcessor):
    """Adds to each row of the batch its own noise.

    place: of the first new token, behind the prompt; it is counted here, since not every `generate` hands on the prompt
    """

    def __init__(self, noises: Sequence[Noise | None], place: int):
        self.noises = noises
        self.place = place

    # `generate` counts the parameters, and would want what more are named, even `**kwargs`.
    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        scores = scores.clone()
        for row, noise in enumerate(self.noises):
            if noise is not None:
                scores[row] += noise(self.place, scores.shape[-1], scores.device)
        self.place += 1
        return scores

"""What may differ between architectures, as it is for most of them: a decoder that reads image tokens among its words.

An architecture that differs overrides what differs, in a file of its own; nothing else in the package knows
architectures apart.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from PIL import Image
from torch import Tensor, nn
from transformers import Cache, PreTrainedModel

from causal_attrib.choices import DEFAULT_PROMPT
from causal_attrib.errors import InputError
from causal_attrib.vlm.conversation import Conversation, converse
from causal_attrib.vlm.image_hook import ImageHook
from causal_attrib.vlm.layout import ImageLayout, without_boxes
from causal_attrib.vlm.prefix_cache import AttentionMask, PrefixCache, block_mask, cache_argument, float_mask, new_cache


class Family:
    """A decoder whose image tokens stand among the words of its prompt.

    Attributes:
        default_prompt: what the model is asked where the user asks nothing.
        row: the input that the response is appended to.
        per_token: inputs with one entry per token of that row, and the entry of a response token. Others that grow with
            the text are found out by `_goes_on`.
        may_be_unused: patterns of weights that checkpoints hold and the model does without.
        image_ids: ids that stand for the picture and can be neither given nor written as words.
        keeps_apart: rows with different pictures are known to be read in one forward as each alone.
    """

    default_prompt: ClassVar[str] = DEFAULT_PROMPT
    row: ClassVar[str] = "input_ids"
    keeps_apart: ClassVar[bool] = True
    per_token: ClassVar[dict[str, int]] = {"attention_mask": 1, "token_type_ids": 0, "mm_token_type_ids": 0}
    may_be_unused: ClassVar[tuple[str, ...]] = (
        # Tables that older transformers saved with the weights, and that are computed now.
        r"\binv_freq$",
        r"\bposition_ids$",
        r"\battn\.(masked_)?bias$",
        r"\brelative_position_index$",
        r"\bnum_batches_tracked$",
        # Heads of a tower that was trained on other tasks, and those that guess several tokens at once.
        r"\b(vision_model|vision_tower|visual|encoder)\.(.*\.)?(pooler|head|classifier)\.",
        r"\bmtp\b",
        # Tables of weights that are stored in 4 bits.
        r"\.weight\.(absmax|quant_map|nested_\w+|quant_state\..*)$",
    )

    def __init__(self, model: PreTrainedModel, processor: Any):
        # Any: what an architecture calls its parts is its own.
        self.model: Any = model
        self.processor = processor
        self.config = model.config

    # -- words ------------------------------------------------------------------------------------------------------

    def converse(self, prompt: str, question: str | None = None) -> Conversation:
        """The text around the response: the processor's chat template, or `plain` where it has none."""
        if self.processor.chat_template:
            return converse(self.processor, prompt, question)
        return Conversation(self.plain(prompt), "", f"\n{question}\n" if question else "")

    def plain(self, prompt: str) -> str:
        """How a model without a chat template is asked."""
        return f"{self.processor.image_token}{prompt}\n"

    def lead(self, before: str) -> str:
        """What stands before the response in its own row, given the text before it in the conversation."""
        return before

    # -- inputs -----------------------------------------------------------------------------------------------------

    def prompt_inputs(self, text: str, picture: Image.Image | list[Image.Image]) -> dict[str, Tensor]:
        """Model inputs (batch 1) of a picture, or of several, and all the text before the response, on the CPU."""
        bos = self.processor.tokenizer.bos_token
        return dict(
            self.processor(
                text=text,
                images=picture,
                return_tensors="pt",
                # A template that writes the begin-of-sequence token itself must not get a second one.
                add_special_tokens=not (bos and text.startswith(bos)),
            )
        )

    def extend(self, inputs: dict[str, Tensor], continuations: list[tuple[int, ...]], pad_id: int) -> dict[str, Tensor]:
        """The inputs of a batch: the same picture and prompt, each row with its own continuation, padded on the right.

        Padding on the right is unseen by every earlier position of a causal decoder, so a row's numbers do not depend
        on the rows beside it.

        Args:
            inputs: those of one picture and prompt (batch 1, P tokens).
            continuations: B lists of token ids.

        Returns:
            `row` and the other per-token inputs of shape (B, P + longest), and the rest repeated B times along its
            first axis.
        """
        rows, longest = len(continuations), max(map(len, continuations))
        tail_BL = torch.full((rows, longest), pad_id)
        real_BL = torch.zeros(rows, longest, dtype=torch.long)
        for row, ids in enumerate(continuations):
            tail_BL[row, : len(ids)] = torch.tensor(ids, dtype=torch.long)
            real_BL[row, : len(ids)] = 1

        batch = {}
        for name, value in inputs.items():
            if name not in (self.row, *self.per_token) and inputs[self.row].shape[1] in value.shape[1:]:
                value = self._lengthened(name, value, longest)
            repeated = value.repeat(rows, *[1] * (value.dim() - 1))
            if name == self.row:
                batch[name] = torch.cat([repeated, tail_BL.to(value)], dim=1)
            elif name in self.per_token:
                batch[name] = torch.cat([repeated, (real_BL * self.per_token[name]).to(value)], dim=1)
            else:
                batch[name] = repeated
        return batch

    def _lengthened(self, name: str, value: Tensor, count: int) -> Tensor:
        """An input that may stand along the row, with `count` text tokens more if it does."""
        along = self._goes_on.get(name)
        if along is None or count == 0:
            return value
        axis, step = along
        last = value.narrow(axis, value.shape[axis] - 1, 1)
        return torch.cat([value, *((last + step * (place + 1)).to(value) for place in range(count))], dim=axis)

    @functools.cached_property
    def _goes_on(self) -> dict[str, tuple[int, int]]:
        """Inputs beside `per_token` that go on with the row: along which axis, and what each text token adds to them.

        Seen from what the processor gives for a short prompt and for a longer one: an input of the row grows as the row
        does, and with the words at its end stays what it is (masks, types) or counts on (positions).

        Raises:
            InputError: one grows otherwise.
        """
        short, long = (
            self.prompt_inputs(self.converse(prompt).before, Image.new("RGB", (224, 224)))
            for prompt in ("a", "a a a a")
        )
        more = long[self.row].shape[1] - short[self.row].shape[1]
        found = {}
        for name, value in long.items():
            if name in (self.row, *self.per_token) or more == 0 or name not in short:
                continue
            grown = [axis for axis, size in enumerate(value.shape) if axis and size - short[name].shape[axis] == more]
            if value.dim() != short[name].dim() or not grown:
                continue
            end = value.narrow(grown[0], value.shape[grown[0]] - 3, 3).double()
            steps = end.diff(dim=grown[0]).unique()
            if len(steps) > 1:
                raise InputError(
                    f"{type(self.model).__name__} is given {name} for every token, and how that goes on in a response "
                    f"is not known; choose another model."
                )
            found[name] = (grown[0], int(steps.item()))
        return found

    # -- numbers ----------------------------------------------------------------------------------------------------

    def logits(self, inputs: dict[str, Tensor], count: int) -> Tensor:
        """Logits (B, count, V) at the last `count` positions of the row, from one ordinary forward."""
        return self.model(**inputs, **self._keep(count), use_cache=False).logits[:, -count:]

    def generate(self, inputs: dict[str, Tensor], **options: Any) -> Tensor:
        """New ids (B, N) by transformers' `generate`."""
        return self.model.generate(**inputs, **options)[:, inputs[self.row].shape[1] :]

    # -- going on from a prompt that was read once ------------------------------------------------------------------

    @property
    def packs(self) -> bool:
        """Whether many continuations can be put through in one forward: it takes a mask and positions of our own.

        Per-layer embeddings are looked up by id, and the tokens of a packed forward are given as embeddings.
        """
        return self.per_layer_embedding is None and set(self._layer_types) <= {"full_attention", "sliding_attention"}

    @property
    def joins(self) -> bool:
        """Whether continuations of several pictures may come into one forward: no layer has a mask of its own, and the
        attention is none that takes a block mask, which no call of ours can take the place of."""
        return self.packs and set(self._layer_types) == {"full_attention"} and not self._is_flex

    def prefill(self, inputs: dict[str, Tensor], count: int = 1) -> PrefixCache:
        """One ordinary forward over picture, prompt and what `extend` put behind it, whose keys and values are kept.

        Args:
            count: of how many of the last positions logits are wanted.
        """
        cache = new_cache(count)
        output = self.model(**inputs, **self._keep(count), **cache_argument(self.model, cache), use_cache=True)
        return self._prefix(cache, output.logits, count)

    def _prefix(self, cache: Cache, logits_BLV: Tensor, count: int, **shared: Any) -> PrefixCache:
        length = cache.get_seq_length()
        positions_K = torch.arange(length, device=logits_BLV.device)
        return PrefixCache(cache, logits_BLV[0, -count:].float(), length, positions_K, shared)

    def decode_step(
        self, prefix: PrefixCache, embedded_QD: Tensor, depth_Q: Tensor, seen_QK: Tensor, wanted_N: Tensor
    ) -> Tensor:
        """Logits (N, V) of tokens that are put behind a prefix, in one forward; they stay in its cache.

        Args:
            embedded_QD: their input embeddings.
            depth_Q: how many tokens behind the end of the prefix as it was read each of them stands; negative before
                it.
            seen_QK: which keys each of them sees, those in the cache and then their own.
            wanted_N: which of them logits are wanted of.
        """
        position_Q = self._enter(prefix, depth_Q, seen_QK)
        # A copy, since BLIP and GIT add positions to what they are given.
        return self._step(prefix, embedded_QD[None].clone(), position_Q, prefix.mask, wanted_N)

    def decode_step_together(
        self,
        joined: PrefixCache,
        embedded_QD: Tensor,
        depths: Sequence[Tensor],
        seen: Sequence[Tensor],
        wanted_N: Tensor,
    ) -> Tensor:
        """The same for several prefixes at once.

        Args:
            joined: from `join`; its cache knows the prefixes and how many of the tokens belong to each.
            embedded_QD: the tokens of the first prefix, then those of the second, and so on.
            depths, seen: `depth_Q` and `seen_QK` of each prefix.
        """
        positions = [self._enter(*each) for each in zip(joined.cache.prefixes, depths, seen, strict=True)]
        return self._step(joined, embedded_QD[None].clone(), torch.cat(positions), joined.mask, wanted_N)

    def _enter(self, prefix: PrefixCache, depth_Q: Tensor, seen_QK: Tensor) -> Tensor:
        """Positions of tokens that are about to be put behind a prefix, which is given the mask of what they see."""
        position_Q = prefix.first + depth_Q
        prefix.key_position_K = torch.cat([prefix.key_position_K, position_Q])
        prefix.mask = self._mask(prefix, position_Q, seen_QK)
        return position_Q

    def _step(
        self, prefix: PrefixCache, embedded_BQD: Tensor, position_Q: Tensor, mask: AttentionMask, wanted_N: Tensor
    ) -> Tensor:
        keeps = self._decoder_keeps
        output = self.decoder(
            inputs_embeds=embedded_BQD,
            position_ids=self._position_ids(position_Q),
            attention_mask=mask,
            use_cache=True,
            **cache_argument(self.decoder, prefix.cache),
            **({"logits_to_keep": wanted_N} if keeps else {}),
            **prefix.shared,
        )
        return output.logits[0] if keeps else output.logits[0, wanted_N]

    def _position_ids(self, position_Q: Tensor) -> Tensor:
        return position_Q[None]

    def cut(self, prefix: PrefixCache, count: int) -> None:
        """Take the last `count` tokens out of a prefix again."""
        if count:
            prefix.cache.crop(-count)
            prefix.key_position_K = prefix.key_position_K[:-count]

    @property
    def decoder(self) -> nn.Module:
        """The module that goes on from a prefix."""
        return self.model

    @functools.cached_property
    def _decoder_keeps(self) -> bool:
        """Whether the decoder can be asked for some of its logits.

        Some take an argument that they do not know for one of their attention's, and give all.
        """
        return "logits_to_keep" in inspect.signature(self.decoder.forward).parameters

    def _mask(self, prefix: PrefixCache, position_Q: Tensor, seen_QK: Tensor) -> AttentionMask:
        """The mask that the kernel takes, or one for each kind of layer where some see no further than a window."""
        make = block_mask if self._is_flex else functools.partial(float_mask, dtype=self.model.dtype)
        full = make(seen_QK)
        if "sliding_attention" not in self._layer_types:
            return full
        window = self.config.get_text_config(decoder=True).sliding_window
        near_QK = position_Q[:, None] - prefix.key_position_K[None] < window
        return {"full_attention": full, "sliding_attention": make(seen_QK & near_QK)}

    @property
    def _is_flex(self) -> bool:
        """Whether the decoder attends by torch's FlexAttention; asked each time, since a kernel can be changed."""
        return self.config.get_text_config(decoder=True)._attn_implementation == "flex_attention"

    @functools.cached_property
    def _layer_types(self) -> tuple[str, ...]:
        return tuple(getattr(self.config.get_text_config(decoder=True), "layer_types", None) or ("full_attention",))

    def _keep(self, count: int) -> dict[str, int]:
        """Ask for the last `count` positions only, where the model knows how: the head is the widest layer."""
        return {"logits_to_keep": count} if "logits_to_keep" in self._forward_parameters else {}

    @functools.cached_property
    def embedding(self) -> nn.Module:
        """The layer that embeds the ids of the row; a hidden token is one whose output here is replaced."""
        return self.model.get_input_embeddings()

    @functools.cached_property
    def per_layer_embedding(self) -> nn.Module | None:
        """A second table that ids are looked up in, whose entries go into every layer (Gemma 3n and 4); else None."""
        tables = (getattr(module, "embed_tokens_per_layer", None) for module in self.model.modules())
        return next((table for table in tables if table is not None), None)

    @property
    def embeddings(self) -> tuple[nn.Module, ...]:
        """Every table that the ids of the row are looked up in: a word is hidden when it is hidden in all of them."""
        return (self.embedding,) if self.per_layer_embedding is None else (self.embedding, self.per_layer_embedding)

    @property
    def end_ids(self) -> set[int]:
        """Ids that end what the model writes."""
        ends = self.model.generation_config.eos_token_id
        return {ends} if isinstance(ends, int) else set(ends or ())

    @property
    def longest(self) -> int | None:
        """How many positions the row may have, or None where the architecture sets no limit."""
        return getattr(self.config.get_text_config(decoder=True), "max_position_embeddings", None)

    @functools.cached_property
    def _forward_parameters(self) -> Mapping[str, inspect.Parameter]:
        return inspect.signature(self.model.forward).parameters

    def unused(self, keys: Iterable[str]) -> list[str]:
        """Of weights that a checkpoint holds and the model has no place for, those that it cannot do without."""
        return sorted(key for key in keys if not any(re.search(pattern, key) for pattern in self.may_be_unused))

    # -- the picture ------------------------------------------------------------------------------------------------

    @property
    def image_ids(self) -> frozenset[int]:
        return frozenset({self.config.image_token_id})

    def layout(self, inputs: dict[str, Tensor], size: tuple[int, int]) -> ImageLayout:
        """Where the image tokens are and what they stand for.

        Args:
            inputs: from `prompt_inputs`.
            size: (width, height) of the picture.
        """
        return without_boxes(self.image_positions(inputs))

    @property
    def image_hook(self) -> ImageHook | None:
        """Where image tokens enter the language model, or None where that is not known."""
        inner = getattr(getattr(self.model, "model", None), "language_model", None)
        return None if inner is None else ImageHook(inner, "inputs_embeds")

    def planes(self, pixels: Tensor, inputs: dict[str, Tensor]) -> Tensor:
        """The processor's pixels of one picture as planes of it (K, C, h, w), such as tiles.

        Args:
            inputs: from `prompt_inputs`, for the same picture or another of its size.
        """
        return pixels.reshape(-1, *pixels.shape[-3:])

    def image_positions(self, inputs: dict[str, Tensor]) -> Sequence[int]:
        """Positions of the image placeholders in the prompt."""
        is_image_L = torch.isin(inputs["input_ids"][0].cpu(), torch.tensor(sorted(self.image_ids)))
        return is_image_L.nonzero()[:, 0].tolist()

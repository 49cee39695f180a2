"""A prompt that was read once and is gone on from many times: the state behind packed forwards.

Axes: Q queries of one forward, K keys it may look at (those in the cache first, then its own), D embedding, N places
whose logits are wanted, T tokens that were read together with the prompt, V vocabulary.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from transformers import Cache, DynamicCache, EncoderDecoderCache
from transformers.cache_utils import DynamicLayer

# An additive tensor, or torch's block mask where the kernel is its FlexAttention; one for all layers, or by kind of
# layer. torch's class is imported where it is needed.
AttentionMask = Any


# Tokens that a text may have more than the one it is an edit of, and those of a CPU's forward.
_BESIDE = 256


@dataclass
class PrefixCache:
    """Keys and values of what was read (and of what was put behind it since).

    cache:          of the decoder; grows with each step, and is cut back
    logits_TV:      what the model expects behind each of the last tokens that were read, float32
    first:          position of the first token behind them
    key_position_K: position of each key in the cache
    shared:         further arguments of every step
    mask:           the mask of the last step, or a dict of them by kind of layer
    """

    cache: Any  # of transformers' kinds of caches, which have no more in common than `update`
    logits_TV: Tensor
    first: int
    key_position_K: Tensor
    shared: dict = field(default_factory=dict)
    mask: AttentionMask = None

    @property
    def length(self) -> int:
        """How many keys the cache holds."""
        return len(self.key_position_K)

    def shift(self, by: int) -> None:
        """Count positions from another number on than the cache does."""
        self.first += by
        self.key_position_K = self.key_position_K + by


def cache_argument(module: nn.Module, cache: Any) -> dict[str, Any]:
    """A cache as the forward of a module takes it: the argument is called `cache` since transformers 5.24."""
    return {_cache_name(type(module).forward): cache}


@functools.cache
def _cache_name(forward: Callable) -> str:
    return "cache" if "cache" in inspect.signature(forward).parameters else "past_key_values"


def new_cache(texts: int = 0) -> Cache:
    """A cache that grows without copying what it holds, and forgets nothing: sliding layers are left to the mask.

    Args:
        texts: tokens of the text that is about to be gone on from; there is room for another beside it from the start.
    """
    return Cache(layer_class_to_replicate=type("_RoomyLayer", (_RoomyLayer,), {"more": texts + _BESIDE}))


def new_cross_cache() -> EncoderDecoderCache:
    """The same beside a cache of what the decoder looks at by cross-attention."""
    return EncoderDecoderCache(new_cache(), DynamicCache())


def float_mask(seen_QK: Tensor, dtype: torch.dtype) -> Tensor:
    """The additive mask (1, 1, Q, K) of what each query sees.

    Never a boolean one: eager attention and some models would add it as 0 and 1, which is wrong and raises no error.
    """
    mask_QK = torch.zeros(seen_QK.shape, dtype=dtype, device=seen_QK.device)
    return mask_QK.masked_fill_(~seen_QK, torch.finfo(dtype).min)[None, None]


def block_mask(seen_QK: Tensor) -> AttentionMask:
    """The same for torch's FlexAttention, which leaves out blocks of keys that no query of a block sees.

    It must be this kind of mask: transformers adds a tensor to the scores in a way that ends the process on a CPU.
    """
    from torch.nn.attention.flex_attention import create_block_mask

    def sees(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return seen_QK[query, key]

    queries, keys = seen_QK.shape
    return create_block_mask(sees, None, None, queries, keys, device=seen_QK.device)


def join(prefixes: Sequence[PrefixCache], counts: Sequence[int], dtype: torch.dtype) -> PrefixCache:
    """One prefix cache for a forward in `dtype` behind several, of whose tokens `counts` belong to each."""
    first = prefixes[0]
    mask_QQ = torch.zeros(sum(counts), sum(counts), dtype=dtype, device=first.logits_TV.device)
    return PrefixCache(
        JoinedCache(prefixes, counts), first.logits_TV, 0, first.key_position_K[:0], mask=mask_QQ[None, None]
    )


def cut_words(prefix: PrefixCache, count: int) -> None:
    """Take the last `count` tokens out of a prefix with cross-attention, and nothing of what it looks at."""
    if count:
        prefix.cache.self_attention_cache.crop(-count)
        prefix.key_position_K = prefix.key_position_K[:-count]


class JoinedCache(Cache):
    """The caches of several prefixes that are gone on from in one forward.

    Each keeps its share of the new keys and values. What a layer is handed are the new ones alone: whoever joins
    prefixes answers for the attention (`engine.attention.JoinedAttention`).

    counts:  how many of the forward's tokens belong to each prefix, in order
    updated: the layer that was given keys last, None once that has attended
    updates: how often a layer was given keys
    """

    def __init__(self, prefixes: Sequence[PrefixCache], counts: Sequence[int]):
        super().__init__(layers=[])
        self.prefixes, self.counts = prefixes, list(counts)
        self.updated: int | None = None
        self.updates = 0

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        shares = zip(key_states.split(self.counts, -2), value_states.split(self.counts, -2), strict=True)
        for prefix, (keys, values) in zip(self.prefixes, shares, strict=True):
            prefix.cache.update(keys, values, layer_idx)
        self.updated = layer_idx
        self.updates += 1
        return key_states, value_states

    def get_seq_length(self, layer_idx: int = 0) -> int:
        return 0


class _RoomyLayer(DynamicLayer):
    """Writes new keys into room that was set aside; transformers' own layer copies everything with each token.

    The room is token by token, as layers compute keys and as single ones are picked out again (`engine.attention`).
    What it is not yet used for takes no memory of a CPU; room that had to grow would leave its old place behind.

    more: tokens that there is room for behind the first ones
    """

    more = 0

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self._room = [new.transpose(1, 2)[:, :0] for new in (key_states, value_states)]
        before = self.get_seq_length()
        after = before + key_states.shape[-2]
        if after > self._room[0].shape[1]:
            # Many tokens at once are cut back afterwards; room to grow is for those that come one by one.
            length = max(after, before + before // 4) if before else after + self.more
            self._room = [_wider(room, length, before) for room in self._room]
        for room, new in zip(self._room, (key_states, value_states), strict=True):
            room[:, before:after] = new.transpose(1, 2)
        self.keys, self.values = (room[:, :after].transpose(1, 2) for room in self._room)
        return self.keys, self.values


def _wider(room: Tensor, length: int, held: int) -> Tensor:
    wider = room.new_empty(room.shape[0], length, *room.shape[2:])
    wider[:, :held] = room[:, :held]
    return wider

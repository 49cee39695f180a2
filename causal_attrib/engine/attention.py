"""Attention over the keys that are looked at, and not over all that are in the cache.

Behind a dense mask every node of a forward is compared with every key, also with those of the other texts, which the
mask then takes out again. While one of these modes is on, calls of torch's `scaled_dot_product_attention` that carry
the forward's own mask are answered with the same values from fewer products; any other call passes by untouched, so a
model with another attention kernel is right and only slower.

Axes: H heads of queries, G heads of keys, R = H / G, Q queries, K keys, S shared keys, L own keys, P = Q * L, d head
dimension.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from causal_attrib.engine.device import moved
from causal_attrib.vlm.prefix_cache import PrefixCache

# Keys are picked out where no more than this share of them is looked at: picking copies them.
_WORTH = 0.7
# Numbers that `OwnKeys` holds at once, weights and picked keys together; 2,048 texts of a large model have billions.
AT_ONCE = 2**25


class _Attention(TorchFunctionMode):
    """Catches the calls of one forward."""

    def __init__(self, prefix: PrefixCache):
        super().__init__()
        self.prefix = prefix

    def __torch_function__(
        self, function: Callable, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if function is F.scaled_dot_product_attention and self._is_ours(args[0], kwargs.get("attn_mask")):
            return self.attend(*args, **kwargs)
        return function(*args, **kwargs)

    def attend(self, query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor, **options: Any) -> Tensor:
        """What `scaled_dot_product_attention` would give."""
        raise NotImplementedError

    def _is_ours(self, query: Tensor, mask: Tensor | None) -> bool:
        ours = self.prefix.mask
        if not (torch.is_tensor(mask) and torch.is_tensor(ours)):
            return False
        # A single query's heads may come packed behind one another: transformers' way to group them without a copy.
        return mask.data_ptr() == ours.data_ptr() and mask.shape == ours.shape and query.shape[-2] == ours.shape[-2]


class JoinedAttention(_Attention):
    """Queries of several prefixes in one forward: each looks at the keys of its own, in its own way.

    joined:   from `join`
    each:     how the queries of each prefix attend
    attended: how many calls were answered
    """

    def __init__(self, joined: PrefixCache, each: Sequence[_Attention]):
        super().__init__(joined)
        self.each = each
        self.attended = 0

    def attend(self, query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor, **options: Any) -> Tensor:
        cache = self.prefix.cache
        answers = []
        for attention, query_BHQd in zip(self.each, query.split(cache.counts, 2), strict=True):
            layer = attention.prefix.cache.layers[cache.updated]
            groups = query.shape[1] // layer.keys.shape[1]
            keys, values = layer.keys, layer.values
            if groups > 1:
                keys, values = (tensor.repeat_interleave(groups, 1) for tensor in (keys, values))
            mask = attention.prefix.mask
            assert torch.is_tensor(mask)  # prefixes are joined where no layer has a mask of its own
            answers.append(attention.attend(query_BHQd, keys, values, mask, **options))
        cache.updated = None
        self.attended += 1
        return torch.cat(answers, 2)

    @property
    def caught_all(self) -> bool:
        """Whether each layer that was given keys looked at them here, so that the forward is what it should be."""
        return self.attended == self.prefix.cache.updates > 0


class PickedKeys(_Attention):
    """Leaves out keys that no query of the forward looks at.

    seen_QK: the forward's mask, True where a query looks at a key
    """

    def __init__(self, prefix: PrefixCache, seen_QK: np.ndarray):
        super().__init__(prefix)
        needed_K = seen_QK.any(0)
        edges = np.flatnonzero(np.diff(needed_K, prepend=False, append=False)).tolist()
        self.runs = list(zip(edges[::2], edges[1::2], strict=True))
        self.worth = needed_K.mean() <= _WORTH
        self.mask: Tensor | None = None

    def attend(self, query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor, **options: Any) -> Tensor:
        if not self.worth:
            return F.scaled_dot_product_attention(query, key, value, attn_mask, **options)
        if self.mask is None:
            self.mask = self._picked(attn_mask, 3)
        return F.scaled_dot_product_attention(query, self._picked(key, 2), self._picked(value, 2), self.mask, **options)

    def _picked(self, tensor: Tensor, axis: int) -> Tensor:
        return torch.cat([tensor.narrow(axis, start, end - start) for start, end in self.runs], axis)


class OwnKeys(_Attention):
    """Each query looks at the shared keys and at the few of its own behind them, which are picked out for it.

    shared:    how many keys any query may look at, as the mask says
    places_QL: indices of each query's own keys, and -1 behind the last of them
    """

    def __init__(self, prefix: PrefixCache, shared: int, places_QL: np.ndarray):
        super().__init__(prefix)
        self.shared = shared
        place_QL = moved(places_QL, prefix.key_position_K.device)
        self.none_QL, self.place_QL = place_QL < 0, place_QL.clamp(min=0)

    def attend(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor,
        *,
        scale: float | None = None,
        enable_gqa: bool = False,
        **options: Any,
    ) -> Tensor:
        # Under grouped queries (transformers repeats keys itself or leaves it to the kernel) each of G heads of keys
        # serves R heads of queries, and is not repeated.
        G = key.shape[1]
        R = query.shape[1] // G
        query_GRQd = (query[0] * (query.shape[-1] ** -0.5 if scale is None else scale)).unflatten(0, (G, R))
        mask_1QS, place_QL = attn_mask[0, :, :, : self.shared], self.place_QL
        of_each = query.shape[1] * (self.shared + place_QL.shape[1]) + 2 * place_QL.shape[1] * G * query.shape[-1]
        some = max(1, AT_ONCE // of_each)
        seen = [
            self._attend_some(queries, key, value, mask, places, none)
            for queries, mask, places, none in zip(
                query_GRQd.split(some, 2),
                mask_1QS.split(some, 1),
                place_QL.split(some),
                self.none_QL.split(some),
                strict=True,
            )
        ]
        return (seen[0] if len(seen) == 1 else torch.cat(seen, 2)).flatten(0, 1)[None]

    def _attend_some(
        self, query_GRQd: Tensor, key: Tensor, value: Tensor, mask_1QS: Tensor, place_QL: Tensor, none_QL: Tensor
    ) -> Tensor:
        """What some of the queries see, (G, R, Q, d)."""
        G, R, Q, _ = query_GRQd.shape
        S, L = self.shared, place_QL.shape[1]
        shared_GRQS = (query_GRQd.flatten(1, 2) @ key[0, :, :S].transpose(-1, -2)).unflatten(1, (R, Q)) + mask_1QS
        own_keys_QLGd, own_values_QLGd = (
            all_GKd.transpose(0, 1).index_select(0, place_QL.flatten()).unflatten(0, (Q, L))
            for all_GKd in (key[0], value[0])
        )
        # As sums of products: matrix products of one row each, as many as queries, would take longer.
        own_QLGR = (own_keys_QLGd[..., None, :] * query_GRQd.permute(2, 0, 1, 3)[:, None]).sum(-1)
        own_QLGR = own_QLGR.masked_fill_(none_QL[..., None, None], -torch.inf)
        weight_GRQK = torch.cat([shared_GRQS, own_QLGR.permute(2, 3, 0, 1)], -1).softmax(-1, dtype=torch.float32)
        weight_GRQK = weight_GRQK.to(value.dtype)
        own_weight_QLGR = weight_GRQK[..., S:].permute(2, 3, 0, 1)
        own_seen_QGRd = (own_weight_QLGR[..., None] * own_values_QLGd[..., None, :]).sum(1)
        shared_seen_GRQd = (weight_GRQK[..., :S].flatten(1, 2) @ value[0, :, :S]).unflatten(1, (R, Q))
        return shared_seen_GRQd + own_seen_QGRd.permute(1, 2, 0, 3)

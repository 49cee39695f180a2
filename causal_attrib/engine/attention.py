"""Attention over the keys that are looked at, and not over all that are in the cache.

Behind a dense mask every node of a forward is compared with every key, also with those of the other texts, which the
mask then takes out again. While one of these modes is on, calls of torch's `scaled_dot_product_attention` that carry
the forward's own mask are answered with the same values from fewer products; any other call passes by untouched, so a
model with another attention kernel is right and only slower.

Axes: H heads, R rows (texts, one new token each), Q queries, K keys, S shared keys, L own tokens, d head dimension.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from causal_attrib.engine.node import Node
from causal_attrib.vlm.trunk import Trunk

# Keys are picked out where no more than this share of them is looked at: picking copies them.
_WORTH = 0.7


class _Attention(TorchFunctionMode):
    """Catches the calls of one forward."""

    def __init__(self, trunk: Trunk):
        super().__init__()
        self.trunk = trunk

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if function is F.scaled_dot_product_attention and self._is_ours(args[0], kwargs.get("attn_mask")):
            return self.attend(*args, **kwargs)
        return function(*args, **kwargs)

    def _is_ours(self, query: Tensor, mask: Tensor | None) -> bool:
        ours = self.trunk.mask
        if not (torch.is_tensor(mask) and torch.is_tensor(ours)):
            return False
        # A single query's heads may come packed behind one another: transformers' way to group them without a copy.
        return mask.data_ptr() == ours.data_ptr() and mask.shape == ours.shape and query.shape[-2] == ours.shape[-2]


class PickedKeys(_Attention):
    """Leaves out keys that no query of the forward looks at.

    seen_QK: the forward's mask, True where a query looks at a key
    """

    def __init__(self, trunk: Trunk, seen_QK: np.ndarray):
        super().__init__(trunk)
        needed_K = seen_QK.any(0)
        edges = np.flatnonzero(np.diff(needed_K, prepend=False, append=False)).tolist()
        self.runs = list(zip(edges[::2], edges[1::2], strict=True))
        self.worth = needed_K.mean() <= _WORTH
        self.mask: Tensor | None = None

    def attend(self, query, key, value, attn_mask, **options) -> Tensor:
        if not self.worth:
            return F.scaled_dot_product_attention(query, key, value, attn_mask, **options)
        if self.mask is None:
            self.mask = self._picked(attn_mask, 3)
        return F.scaled_dot_product_attention(query, self._picked(key, 2), self._picked(value, 2), self.mask, **options)

    def _picked(self, tensor: Tensor, axis: int) -> Tensor:
        return torch.cat([tensor.narrow(axis, start, end - start) for start, end in self.runs], axis)


class OwnKeys(_Attention):
    """Each row looks at the shared keys and at its own: what it has written so far is kept row by row beside the cache.

    shared: how many keys there are before anything is written
    room:   how many tokens a row may get
    """

    def __init__(self, trunk: Trunk, shared: int, room: int):
        super().__init__(trunk)
        self.shared, self.room = shared, room
        self.held: list[tuple[Tensor, Tensor]] = []  # of each layer, keys and values (R, H, L, d)
        self.row_of: dict[Node, int] = {}
        self.layer = 0

    @property
    def complete(self) -> bool:
        """Whether every layer's new keys were seen in the last step; without one, the next step would be wrong."""
        return 0 < self.layer == len(self.held)

    def follows(self, nodes: Sequence[Node]) -> bool:
        """Whether each node goes on a row of the last step, or stands behind the shared keys."""
        return all(node.parent in self.row_of or not self._is_own(node.parent) for node in nodes)

    def step(self, nodes: Sequence[Node]) -> None:
        """Get ready for a forward over one new token of each row."""
        before = self.row_of
        source = [before.get(node.parent, 0) for node in nodes]
        self.row_of = {node: row for row, node in enumerate(nodes)}
        length = [self._own_length(node) for node in nodes]
        self.layer = 0
        self.length_R = torch.tensor(length)
        # Texts that may be longest come first, so that those that are done mostly leave from the end: no copy.
        self.source_R = slice(len(nodes)) if source == list(range(len(nodes))) else torch.tensor(source)
        self.longest = max(length)
        self.hidden_RL = torch.arange(self.longest)[None] >= self.length_R[:, None]

    def attend(self, query, key, value, attn_mask, *, scale=None, dropout_p=0.0, is_causal=False, enable_gqa=False):
        if enable_gqa:  # transformers repeats keys itself or leaves it to the kernel
            groups = query.shape[1] // key.shape[1]
            key, value = (tensor.repeat_interleave(groups, 1) for tensor in (key, value))
        keys_RHLd, values_RHLd = self._own(key[0], value[0])
        query_HRd = query[0] * (query.shape[-1] ** -0.5 if scale is None else scale)
        S = self.shared
        shared_HRS = query_HRd @ key[0, :, :S].transpose(-1, -2) + attn_mask[0, :, :, :S]
        own_RHL = (keys_RHLd @ query_HRd.transpose(0, 1).unsqueeze(-1)).squeeze(-1)
        own_RHL = own_RHL.masked_fill(self.hidden_RL[:, None].to(own_RHL.device), -torch.inf)
        both = torch.cat([shared_HRS, own_RHL.transpose(0, 1)], -1)
        weight = both.softmax(-1, dtype=torch.float32).to(value.dtype)
        seen_HRd = weight[..., :S] @ value[0, :, :S]
        own_weight_RHL = weight[..., S:].transpose(0, 1)
        return (seen_HRd + (own_weight_RHL.unsqueeze(-2) @ values_RHLd).squeeze(-2).transpose(0, 1))[None]

    def _own(self, key_HKd: Tensor, value_HKd: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values (R, H, L, d) of this layer that are a row's own, the new ones among them."""
        rows, place_R = torch.arange(len(self.length_R)), self.length_R - 1
        if self.layer == len(self.held):
            self.held.append(
                tuple(new.new_zeros(len(rows), len(new), self.room, new.shape[-1]) for new in (key_HKd, value_HKd))
            )
        else:
            self.held[self.layer] = tuple(held[self.source_R] for held in self.held[self.layer])
        held = self.held[self.layer]
        self.layer += 1
        for own_RHLd, new_HKd in zip(held, (key_HKd, value_HKd), strict=True):
            own_RHLd[rows, :, place_R] = new_HKd[:, -len(rows) :].transpose(0, 1)
        return tuple(own_RHLd[:, :, : self.longest] for own_RHLd in held)

    def _is_own(self, node: Node) -> bool:
        return node.place is not None and node.place >= self.shared

    def _own_length(self, node: Node) -> int:
        length = 1
        while self._is_own(node.parent):
            node, length = node.parent, length + 1
        return length

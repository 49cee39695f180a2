"""What differs between architectures: which rows of inputs run along the text, and how image tokens lie."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from transformers import PreTrainedConfig

# Rows beside `input_ids` that have one entry per token, and the entry of a text token.
PER_TOKEN_ROWS = {"attention_mask": 1, "token_type_ids": 0, "mm_token_type_ids": 0}


def extend(inputs: dict[str, Tensor], continuations: list[tuple[int, ...]], pad_id: int) -> dict[str, Tensor]:
    """The inputs of a batch: the same picture and prompt, each row with its own continuation, padded on the right.

    Padding on the right is unseen by every earlier position of a causal decoder, so a row's numbers do not depend on
    the rows beside it.

    Args:
        inputs: processor output for one picture and prompt (batch 1, P tokens).
        continuations: B lists of token ids.

    Returns:
        `input_ids`, `attention_mask` and the other per-token rows of shape (B, P + longest), and the image inputs
        repeated B times along their first axis.
    """
    rows, longest = len(continuations), max(map(len, continuations))
    tail_BL = torch.full((rows, longest), pad_id)
    real_BL = torch.zeros(rows, longest, dtype=torch.long)
    for row, ids in enumerate(continuations):
        tail_BL[row, : len(ids)] = torch.tensor(ids, dtype=torch.long)
        real_BL[row, : len(ids)] = 1

    batch = {}
    for name, value in inputs.items():
        repeated = value.repeat(rows, *[1] * (value.dim() - 1))
        if name == "input_ids":
            batch[name] = torch.cat([repeated, tail_BL.to(value)], dim=1)
        elif name in PER_TOKEN_ROWS:
            batch[name] = torch.cat([repeated, (real_BL * PER_TOKEN_ROWS[name]).to(value)], dim=1)
        else:
            batch[name] = repeated
    return batch


def image_grid(config: PreTrainedConfig, count: int) -> tuple[int, int] | None:
    """Rows and columns of `count` image tokens of one undivided picture, or None if they form no such grid."""
    vision = config.vision_config
    size, patch = getattr(vision, "image_size", None), getattr(vision, "patch_size", None)
    if isinstance(size, int) and isinstance(patch, int) and (size // patch) ** 2 == count:
        return size // patch, size // patch
    side = math.isqrt(count)
    return (side, side) if side * side == count else None

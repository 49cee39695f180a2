"""Words that are hidden from a model: their input embeddings are replaced, their places are kept."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from causal_attrib.errors import InputError
from causal_attrib.vlm.continuation import Continuation
from causal_attrib.vlm.loaded import LoadedModel


@contextlib.contextmanager
def hide(vlm: LoadedModel, rows: Sequence[Continuation], prompt_length: int) -> Iterator[None]:
    """Replace the input embeddings of hidden tokens while the context lasts; the model is left as it was.

    Raises:
        InputError: the embeddings never passed by, so that nothing was hidden.
    """
    if not any(row.hidden for row in rows):
        yield
        return
    means = {row.fill for row in rows if row.hidden}
    fills = {"zero": 0.0, "mean": vlm.mean_embedding_D if "mean" in means else None}
    longest = max(len(row.ids) for row in rows)
    happened = False

    def replace(module: nn.Module, args: tuple, kwargs: dict, embedded_BLD: Tensor) -> Tensor:
        nonlocal happened
        ids_BL = args[0] if args else kwargs["input"]
        # An encoder may share the layer, and `generate` passes by again with each new token: neither is the row.
        if ids_BL.shape[0] != len(rows) or ids_BL.shape[1] < prompt_length + longest:
            return embedded_BLD
        response_BT = ids_BL[:, prompt_length : prompt_length + longest].tolist()
        if any(tuple(ids[: len(row.ids)]) != row.ids for ids, row in zip(response_BT, rows, strict=True)):
            return embedded_BLD
        happened = True
        embedded_BLD = embedded_BLD.clone()
        for index, row in enumerate(rows):
            if row.hidden:
                positions = [prompt_length + position for position in row.hidden]
                fill = fills[row.fill]
                embedded_BLD[index, positions] = fill.to(embedded_BLD) if torch.is_tensor(fill) else fill
        return embedded_BLD

    handle = vlm.family.embedding.register_forward_hook(replace, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()
    if not happened:
        raise InputError(
            f"The word embeddings of {vlm.name} cannot be reached; hide words with --mask token or delete instead."
        )

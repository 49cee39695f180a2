"""Words that are hidden from a model: their input embeddings are replaced, their places are kept."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence

from torch import Tensor, nn

from causal_attrib.errors import InputError
from causal_attrib.vlm.continuation import Continuation
from causal_attrib.vlm.loaded import LoadedModel


@contextlib.contextmanager
def hide(vlm: LoadedModel, rows: Sequence[Continuation], prompt_length: int) -> Iterator[None]:
    """Replace the embeddings of hidden tokens while the context lasts; the model is left as it was.

    They are replaced in every table that the ids are looked up in: the input embeddings, and the per-layer embeddings
    of models that have them, which would tell each layer the hidden word.

    Raises:
        InputError: the embeddings never passed by, so that nothing was hidden.
    """
    if not any(row.hidden for row in rows):
        yield
        return
    passed = set()
    with contextlib.ExitStack() as hooks:
        for table in vlm.family.embeddings:

            def replace(module: nn.Module, args: tuple, kwargs: dict, embedded_BLD: Tensor) -> Tensor:
                ids_BL = args[0] if args else kwargs["input"]
                if not _is_the_batch(ids_BL, rows, prompt_length, getattr(module, "num_embeddings", None)):
                    return embedded_BLD
                passed.add(module)
                return _replaced(embedded_BLD, rows, prompt_length, lambda: vlm.mean_embedding(module))

            hooks.callback(table.register_forward_hook(replace, with_kwargs=True).remove)
        yield
    if len(passed) < len(vlm.family.embeddings):
        raise InputError(
            f"The word embeddings of {vlm.name} cannot be reached; hide words with --mask token or delete instead."
        )


def _is_the_batch(ids_BL: Tensor, rows: Sequence[Continuation], prompt_length: int, known: int | None) -> bool:
    """Whether ids on their way into a table are those of the rows.

    An encoder may share the table, and `generate` passes by again with each new token: neither is the batch.

    Args:
        known: how many ids the table has entries for; a larger one may come as another.
    """
    longest = max(len(row.ids) for row in rows)
    if ids_BL.shape[0] != len(rows) or ids_BL.shape[1] < prompt_length + longest:
        return False
    response_BT = ids_BL[:, prompt_length : prompt_length + longest].tolist()
    return all(
        looked_up == token or (known is not None and token >= known)
        for ids, row in zip(response_BT, rows, strict=True)
        for looked_up, token in zip(ids, row.ids, strict=False)
    )


def _replaced(
    embedded_BLD: Tensor, rows: Sequence[Continuation], prompt_length: int, mean: Callable[[], Tensor]
) -> Tensor:
    embedded_BLD = embedded_BLD.clone()
    for index, row in enumerate(rows):
        if row.hidden:
            positions = [prompt_length + position for position in row.hidden]
            embedded_BLD[index, positions] = mean().to(embedded_BLD) if row.fill == "mean" else 0.0
    return embedded_BLD

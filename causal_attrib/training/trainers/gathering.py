"""A model whose parameters FSDP 2 has shared out, whole for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from torch.distributed.fsdp import FSDPModule


@contextmanager
def gathered(model: nn.Module) -> Iterator[None]:
    """While it lasts every process has all parameters, and no forward waits for another process.

    Scores are taken by forwards of parts of the model, of which one process may need more than another: what FSDP
    gathers by itself around a forward would wait for ever. It takes the memory of the whole model, as without FSDP,
    while gradients and the state of the optimizer stay shared out.

    Args:
        model: with all that shares parameters out (`fully_shard`); another is left as it is.
    """
    # The root comes first, which has to be set up before its parts.
    parts = [module for module in model.modules() if isinstance(module, FSDPModule)]
    for part in parts:
        part.set_reshard_after_forward(False, recurse=False)
        part.unshard()
    try:
        yield
    finally:
        for part in parts:
            # As accelerate sets it; forwards of the update, which all processes make, may gather again.
            part.set_reshard_after_forward(True, recurse=False)
            part.reshard()

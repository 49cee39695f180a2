"""Arrays on their way to the model's device."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def moved(array: np.ndarray, device: torch.device) -> Tensor:
    """The array on a device, whole numbers as indices.

    A GPU is not waited for: it has work to do while the next forward is made ready, and what it copies from was set
    aside when this returns.
    """
    tensor = torch.from_numpy(array if array.dtype == bool else array.astype(np.int64, copy=False))
    return tensor.to(device, non_blocking=True)

"""What a map has to differ from: the picture's edges, and what the same method finds in a model that knows nothing.

Both controls are those of Adebayo et al. 2018 (Sanity Checks for Saliency Maps, arXiv 1810.03292): a map like an edge
detector's, or one that stays as it is when what the model has learnt is destroyed, does not show what was learnt.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import Tensor, nn
from transformers import PreTrainedModel

from causal_attrib.errors import InputError


def edges(picture: Image.Image) -> np.ndarray:
    """Gradient magnitude of the picture's grey (height, width), by the operator of Sobel and Feldman.

    >>> edges(Image.fromarray(np.repeat([[0, 0, 10, 10]], 3, axis=0).astype(np.uint8)))[1]
    array([ 0., 40., 40.,  0.])
    """
    grey_HW = np.pad(np.asarray(picture.convert("L"), dtype=float), 1, mode="edge")
    across_HW = grey_HW[:, 2:] - grey_HW[:, :-2]
    down_HW = grey_HW[2:] - grey_HW[:-2]
    return np.hypot(
        across_HW[:-2] + 2 * across_HW[1:-1] + across_HW[2:], down_HW[:, :-2] + 2 * down_HW[:, 1:-1] + down_HW[:, 2:]
    )


@contextlib.contextmanager
def shuffled(model: PreTrainedModel, seed: int) -> Iterator[None]:
    """The model with a language model that knows nothing, while the context lasts; then every bit is where it was.

    Rows and columns of each of its weight matrices (embedding and head included) are put in an order at random, each
    matrix in its own: what was learnt is lost, and the size of every weight is kept. No copy of the model is made.

    Raises:
        InputError: its weights are quantised or not in memory, and cannot be put in another order.
    """
    weights = _language_weights(model)
    if not weights or any(weight.is_meta for weight in weights):
        raise InputError("The weights of this model are quantised or offloaded, and cannot be shuffled.")
    rng = np.random.default_rng(seed)
    orders = [[torch.from_numpy(rng.permutation(size)) for size in weight.shape[:2]] for weight in weights]
    done: list[tuple[Tensor, list[Tensor]]] = []
    try:
        for weight, order in zip(weights, orders, strict=True):
            _reorder(weight, order)
            done.append((weight, order))
        yield
    finally:
        for shuffled_weight, order in done:
            _reorder(shuffled_weight, [torch.argsort(index) for index in order])


def similarity(one_HW: np.ndarray, other_HW: np.ndarray) -> float | None:
    """Spearman's rank correlation of two maps over their cells, in [-1, 1]; None where one is the same all over.

    >>> similarity(np.array([[1.0, 2.0, 9.0]]), np.array([[-3.0, -2.0, -1.0]]))
    1.0
    """
    if np.ptp(one_HW) == 0 or np.ptp(other_HW) == 0:
        return None
    rank_2X = [pd.Series(map_HW.ravel()).rank() for map_HW in (one_HW, other_HW)]
    return round(float(np.corrcoef(rank_2X)[0, 1]), 12)


def _language_weights(model: PreTrainedModel) -> list[nn.Parameter]:
    """Every weight matrix of the decoder and its head, each once."""
    parts = [part for part in (model.get_decoder(), model.get_output_embeddings()) if part is not None]
    weights = {id(weight): weight for part in parts for weight in part.parameters()}
    return [weight for weight in weights.values() if weight.is_floating_point() and weight.dim() >= 2]


@torch.no_grad()
def _reorder(weight: Tensor, order: list[Tensor]) -> None:
    """Put rows and columns of a weight in an order, in place."""
    rows, columns = (index.to(weight.device) for index in order)
    weight.copy_(weight[rows][:, columns])

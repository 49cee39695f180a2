"""What a map is taken over: the pixels that the model is given, or the image tokens that its language model is given.

Both are tensors with a leading axis of one, a target that is a differentiable function of them, and a way back to the
picture. Methods know nothing else of a model.

Axes: N copies, X the input's own axes, M functions of the target, H and W of the map.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from causal_attrib.errors import InputError
from causal_attrib.scores.saliency_methods.features import Door
from causal_attrib.scores.saliency_methods.geometry import locate_pixels, token_grid, tokens_to_picture
from causal_attrib.scores.saliency_methods.reader import Reader


class Input(Protocol):
    """Something that can be differentiated with respect to.

    reader:   reads the target
    value_1X: what it is for the user's picture
    """

    reader: Reader
    value_1X: Tensor

    def of_picture(self, picture: Image.Image) -> Tensor:
        """What it is for another picture of the same size (1, X)."""

    def scores(self, value_NX: Tensor) -> Tensor:
        """The target (N, M) of N values, differentiable."""

    def to_picture(self, values_1X: Tensor, reduce: str) -> np.ndarray:
        """The map (H, W) of values laid out as the input is, its channels reduced to their "norm" or "sum"."""


class PixelInput:
    """The tensor that the processor makes of the picture (`pixel_values`)."""

    def __init__(self, reader: Reader):
        self.reader = reader
        self.value_1X = reader.encoding.prompt_inputs[reader.input_name][None]
        self.geometry = locate_pixels(reader.vlm, reader.encoding, reader.pixels)

    def of_picture(self, picture: Image.Image) -> Tensor:
        return self.reader.pixels(picture)

    def scores(self, value_NX: Tensor) -> Tensor:
        return self.reader.scores(value_NX)

    def to_picture(self, values_1X: Tensor, reduce: str) -> np.ndarray:
        planes_KChw = self.geometry.lay(values_1X[0])
        return self.geometry.to_picture(_reduced(planes_KChw, 1, reduce))


class EmbeddingInput:
    """The image tokens: what stands for the picture where words and picture meet (1, N, D)."""

    def __init__(self, reader: Reader):
        self.reader = reader
        self.layout = reader.encoding.layout
        # Before any forward: there is no use in tokens that cannot be mapped back.
        self.shape = token_grid(self.layout)
        self.door = Door(reader.vlm, reader.encoding)
        self._pixels_1X = reader.encoding.prompt_inputs[reader.input_name][None]
        self.value_1X = self._seen(self._pixels_1X)

    def of_picture(self, picture: Image.Image) -> Tensor:
        return self._seen(self.reader.pixels(picture))

    def scores(self, value_NX: Tensor) -> Tensor:
        # Every row of the target sees the same image tokens.
        rows = len(self.reader.target.rows)
        with self.door.replacing(value_NX.repeat_interleave(rows, 0)):
            return self.reader.scores(self._pixels_1X.expand(len(value_NX), *self._pixels_1X.shape[1:]))

    def to_picture(self, values_1X: Tensor, reduce: str) -> np.ndarray:
        return tokens_to_picture(_reduced(values_1X[0], -1, reduce), self.layout, self.shape)

    @torch.no_grad()
    def _seen(self, pixels_1X: Tensor) -> Tensor:
        with self.door.reading() as found:
            self.reader.scores(pixels_1X)
        if not found:
            raise InputError(
                f"The image tokens of {self.reader.vlm.name} cannot be reached; take level='pixel' or "
                "method='occlusion'."
            )
        return found[0][:1]


def _reduced(values: Tensor, axis: int, how: str) -> np.ndarray:
    values = values.detach().float()
    return (values.norm(dim=axis) if how == "norm" else values.sum(axis)).cpu().double().numpy()

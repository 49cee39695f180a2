"""Fuyu: patches go into the language model as they are, without a tower, row by row with a newline behind each."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from causal_attrib.vlm.families.base import Family
from causal_attrib.vlm.layout import ImageLayout, one_grid


class Fuyu(Family):
    """`FuyuForCausalLM`."""

    def plain(self, prompt: str) -> str:
        # The processor puts the picture in front, and behind the prompt the token that opens an answer.
        return f"{prompt}\n"

    def lead(self, before: str) -> str:
        return ""

    def prompt_inputs(self, text: str, picture: Image.Image | list[Image.Image]) -> dict[str, Tensor]:
        with _patches_from_tensors(self.processor.image_processor):
            inputs = dict(
                self.processor(text=text, images=picture, return_tensors="pt", return_legacy_image_output=False)
            )
        # transformers before 5.23 has the old name only.
        name = "pixel_values" if "pixel_values" in inputs else "image_patches"
        return {key: inputs[key] for key in ("input_ids", "attention_mask", name)}

    def layout(self, inputs: dict[str, Tensor], size: tuple[int, int]) -> ImageLayout:
        positions = self.image_positions(inputs)
        rows = int((inputs["input_ids"] == self.processor.image_newline_id).sum())
        columns = len(positions) // rows
        region = self._shown(rows, columns, size)
        return one_grid(positions, rows, columns, region=region)

    def _shown(self, rows: int, columns: int, size: tuple[int, int]) -> tuple[float, float, float, float]:
        """The picture lies in the upper left of its patches, and is made smaller only where it is larger than they."""
        images = self.processor.image_processor
        width, height = size
        scale = min(1.0, images.size["height"] / height, images.size["width"] / width)
        patch = self.config.patch_size
        return (0.0, 0.0, columns * patch / int(width * scale), rows * patch / int(height * scale))


@contextlib.contextmanager
def _patches_from_tensors(images: Any) -> Iterator[None]:
    """While it lasts, an image processor cuts tensors into patches; its PIL make is handed them and knows arrays."""
    cut = images.patchify_image

    def patchify_image(image: Any, patch_size: Any = None) -> Tensor:
        return torch.as_tensor(np.ascontiguousarray(cut(image.numpy(), patch_size)))

    if not type(images).__name__.endswith("Pil"):
        yield
        return
    images.patchify_image = patchify_image
    try:
        yield
    finally:
        del images.patchify_image

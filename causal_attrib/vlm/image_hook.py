"""Where the picture enters the language model."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True)
class ImageHook:
    """The module that image tokens enter, and the argument that holds them (0: the first one).

    tiles: how many entries along the first axis make up one picture
    """

    module: nn.Module
    argument: str | int
    tiles: int = 1

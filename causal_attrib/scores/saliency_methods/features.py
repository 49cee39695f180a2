"""Image tokens where they enter the language model: read them off, and put others in their place.

Axes: B rows, N image tokens, D features.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from causal_attrib.errors import InputError
from causal_attrib.vlm import VLM, Encoding


class Door:
    """Lets image tokens of our own into a model.

    Where features also enter deeper layers (Qwen3-VL's "deepstack"), they are appended to those that enter first, so
    that one vector per image token holds all that the language model is told of it.
    """

    def __init__(self, vlm: VLM, encoding: Encoding):
        image_hook = vlm.family.image_hook
        if image_hook is None:
            raise InputError(
                f"The image tokens of {vlm.name} cannot be reached; take level='pixel' or method='occlusion'."
            )
        self.image_hook = image_hook
        layout = encoding.layout
        # Encoders whose layout nobody knows hand over nothing but image tokens.
        unknown = layout.sequence == "encoder" and not layout.positions
        self.positions: list[int] | slice = slice(None) if unknown else list(layout.positions)

    @contextlib.contextmanager
    def reading(self) -> Iterator[list[Tensor]]:
        """Collects the image tokens (B, N, D) of each forward while the context lasts."""
        found: list[Tensor] = []

        def look(states_BLD: Tensor, deeper: list[Tensor]) -> None:
            rows = len(states_BLD)
            parts = [states_BLD[:, self.positions], *(part.unflatten(0, (rows, -1)) for part in deeper)]
            found.append(torch.cat(parts, dim=-1))

        with self._hooked(look):
            yield found

    @contextlib.contextmanager
    def replacing(self, features_BND: Tensor) -> Iterator[None]:
        """Puts these image tokens in the place of the model's own while the context lasts."""

        def put(states_BLD: Tensor, deeper: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
            parts = features_BND.to(states_BLD.dtype).split(states_BLD.shape[-1], dim=-1)
            states_BLD = states_BLD.clone()
            states_BLD[:, self.positions] = parts[0]
            return states_BLD, [part.flatten(0, 1) for part in parts[1:]]

        with self._hooked(put):
            yield

    @contextlib.contextmanager
    def _hooked(self, act: Callable[[Tensor, list[Tensor]], tuple[Tensor, list[Tensor]] | None]) -> Iterator[None]:
        argument = self.image_hook.argument

        def hook(
            module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
        ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
            states = args[argument] if isinstance(argument, int) else kwargs[argument]
            deeper = kwargs.get("deepstack_visual_embeds") or []
            changed = act(states.reshape(len(states) // self.image_hook.tiles, -1, states.shape[-1]), deeper)
            if changed is None:
                return None
            states = changed[0].reshape(states.shape)
            if deeper:
                kwargs = kwargs | {"deepstack_visual_embeds": changed[1]}
            if isinstance(argument, int):
                return (*args[:argument], states, *args[argument + 1 :]), kwargs
            return args, kwargs | {argument: states}

        handle = self.image_hook.module.register_forward_pre_hook(hook, with_kwargs=True)
        try:
            yield
        finally:
            handle.remove()

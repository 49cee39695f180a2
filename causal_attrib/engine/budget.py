"""How many tokens one packed forward may hold."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from causal_attrib.engine.attention import AT_ONCE
from causal_attrib.vlm import VLM

# A larger forward gains nothing: matrix products are at full rate, and each token looks past more keys of the others.
CPU_TOKENS = 192
GPU_TOKENS = 4096
# Pictures held at once where several are to be scored. A CPU's forward is full with the branches of a few.
CPU_PICTURES = 4
GPU_PICTURES = 16
# Texts written at once. On a CPU more of them gain nothing; on a GPU a step takes about as long for many as for few.
CPU_DRAFTS = 200
GPU_DRAFTS = 2048
# Logits of one forward on a CPU, in numbers.
_CPU_LOGITS = 2**27
# What a forward may take of the memory that is free; the rest is for the keys and values that it leaves behind.
_SHARE = 0.5


class Meter:
    """Measures on a GPU what a forward takes for each of its tokens, and tells how many tokens a forward may have."""

    def __init__(self, vlm: VLM):
        self.device = vlm.model.device
        self.vocabulary = vlm.model.config.get_text_config(decoder=True).vocab_size
        self.bytes_per_token: float | None = None

    @contextmanager
    def measuring(self, tokens: int) -> Iterator[None]:
        """Note what the forward inside takes at its peak, over what was taken before."""
        if self.device.type != "cuda":
            yield
            return
        torch.cuda.reset_peak_memory_stats(self.device)
        before = torch.cuda.memory_allocated(self.device)
        yield
        self.bytes_per_token = (torch.cuda.max_memory_allocated(self.device) - before) / tokens

    def tokens(self) -> int:
        """A power of two, so that small differences in what is free do not change how numbers are rounded."""
        if self.device.type != "cuda":
            return min(CPU_TOKENS, max(64, _CPU_LOGITS // self.vocabulary))
        # What torch holds and does not use is free as well. Logits are wanted of any token, in float32 too.
        unused = torch.cuda.memory_reserved(self.device) - torch.cuda.memory_allocated(self.device)
        free = torch.cuda.mem_get_info(self.device)[0] + unused
        # Keys that are picked out for each text come on top, and are not in what the first reading took.
        room = max(0.0, _SHARE * free - 3 * 4 * AT_ONCE)
        fit = room / (self.bytes_per_token + 8 * self.vocabulary)
        return max(16, min(GPU_TOKENS, 2 ** int(fit).bit_length() // 2))


def pictures_at_once(vlm: VLM) -> int:
    """How many pictures the packed engine may hold where several are to be scored."""
    return GPU_PICTURES if vlm.model.device.type == "cuda" else CPU_PICTURES


def drafts_at_once(vlm: VLM) -> int:
    """How many texts it is best to write at once, if a forward may hold so many tokens."""
    return GPU_DRAFTS if vlm.model.device.type == "cuda" else CPU_DRAFTS


def is_out_of_memory(error: Exception) -> bool:
    """Whether memory ran out; on a CPU torch says so in words only."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)

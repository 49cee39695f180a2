"""LLaVA-OneVision: as LLaVA-NeXT, with a large grid that is made smaller where it exceeds so many tiles."""

from __future__ import annotations

import math

from causal_attrib.vlm.families.llava_next import LlavaNext
from causal_attrib.vlm.layout import Box


class LlavaOnevision(LlavaNext):
    """`LlavaOnevisionForConditionalGeneration` (arXiv 2408.03326)."""

    def _joined(self, size: list[int], side: int) -> tuple[int, int, Box]:
        rows, columns, region = super()._joined(size, side)
        most = int(self.config.vision_aspect_ratio.removeprefix("anyres_max_"))
        ratio = math.sqrt(rows * columns / (most * side**2))
        return (int(rows // ratio), int(columns // ratio), region) if ratio > 1.1 else (rows, columns, region)

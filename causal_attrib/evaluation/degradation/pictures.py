"""Pictures made worse, step by step: blur, noise, JPEG, darkness.

Kinds as in ImageNet-C (Hendrycks & Dietterich, 2019, "Benchmarking Neural Network Robustness to Common Corruptions and
Perturbations"), with five severities and our own strengths, which go on until little is left to see. Severity 0 is the
picture itself.

    blur    Gaussian blur; strength is its standard deviation as a share of the shorter side
    noise   Gaussian noise of this standard deviation on values 0..255, clipped; the same noise field at every severity
    jpeg    JPEG at this quality, read again
    dark    all values times this factor, rounded to whole ones
"""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageFilter

from causal_attrib.errors import InputError

# By severity, from 1.
STRENGTHS = {
    "blur": (0.01, 0.02, 0.04, 0.08, 0.16),
    "noise": (10, 20, 40, 80, 160),
    "jpeg": (50, 25, 10, 5, 1),
    "dark": (0.8, 0.6, 0.4, 0.2, 0.05),
}
KINDS = tuple(STRENGTHS)
WORST = 5


def degrade(picture: Image.Image, kind: str, severity: int, seed: int | tuple[int, ...] = 0) -> Image.Image:
    """The picture, RGB and of the same size, made worse.

    Args:
        kind: one of `KINDS`.
        severity: from 0, which changes nothing, to `WORST`.
        seed: of the noise.

    >>> grey = Image.new("RGB", (4, 4), (100, 100, 100))
    >>> degrade(grey, "dark", 1).getpixel((0, 0)), degrade(grey, "dark", 0).getpixel((0, 0))
    ((80, 80, 80), (100, 100, 100))

    Raises:
        InputError: there is no such kind or severity.
    """
    if kind not in KINDS:
        raise InputError(f"There is no degradation {kind!r}; choose from {', '.join(KINDS)}.")
    if not 0 <= severity <= WORST:
        raise InputError(f"There is no severity {severity}; choose from 0 to {WORST}.")
    if severity == 0:
        return picture
    strength = STRENGTHS[kind][severity - 1]
    if kind == "blur":
        return picture.filter(ImageFilter.GaussianBlur(strength * min(picture.size)))
    if kind == "jpeg":
        sink = io.BytesIO()
        picture.save(sink, "JPEG", quality=strength)
        return Image.open(sink).convert("RGB")
    values_HWC = np.asarray(picture, dtype=np.float64)
    if kind == "noise":
        values_HWC = values_HWC + strength * np.random.default_rng(seed).standard_normal(values_HWC.shape)
    else:
        values_HWC = values_HWC * strength
    return Image.fromarray(np.clip(np.rint(values_HWC), 0, 255).astype(np.uint8))

"""The bundled model knows drawn scenes only, and says something about any picture: whoever shows it another is told."""

from __future__ import annotations

import warnings

from PIL import Image

from causal_attrib.vlm import VLM
from causal_attrib.vlm.loading import BUNDLED


def knows(vlm: VLM, picture: Image.Image) -> bool:
    """Whether a model can be expected to read a picture; warns if it cannot. Only of the bundled one is that known."""
    if vlm.name != BUNDLED:
        return True
    from causal_attrib.scenes.recognise import is_scene

    if is_scene(picture, vlm):
        return True
    warnings.warn(
        "the model in the package knows drawn scenes only (copo scenes), and this picture is none, so its scores mean "
        "little; name a model for photographs by --model (model=).",
        stacklevel=1,
    )
    return False

"""The bundled model knows drawn scenes only, and says something about any picture: whoever shows it another is told."""

from __future__ import annotations

import warnings

from PIL import Image

from causal_attrib.vlm import VLM
from causal_attrib.vlm.loading import BUNDLED


def knows(vlm: VLM, picture: Image.Image) -> bool:
    """Whether rates of error may be stated for a picture; warns if it is one that the model cannot be expected to read.

    Only of the bundled model is that known. A scene in a style that it may misread gets scores without a warning, and
    no rate.
    """
    if vlm.name != BUNDLED:
        return True
    from causal_attrib.scenes.recognise import recognised

    is_scene, is_clear = recognised(picture, vlm)
    if is_scene:
        return is_clear
    warnings.warn(
        "the model in the package knows drawn scenes only (copo scenes), and this picture does not look like one, so "
        "that its scores may mean little; name a model for photographs by --model (model=).",
        stacklevel=1,
    )
    return False

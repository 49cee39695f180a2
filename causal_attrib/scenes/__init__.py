"""Sticker scenes with known truth, and the recipe of the bundled model.

>>> from causal_attrib.scenes import PARK, caption, render
>>> picture, masks = render(PARK, size=512)
>>> picture.size, masks.shape, caption(PARK)
((512, 512), (2, 512, 512), 'a dog and a red frisbee on the grass at noon')

`Scene` and `Sticker` are the record; `sample_scene` draws one, `render` shows it, `caption`, `falsify`, `questions`
and `reasoned_answer` talk about it, `write_dataset` writes many to a folder. How the bundled model was trained is in
`causal_attrib.scenes.train`, and how well it does is measured by `causal_attrib.scenes.measure`.
"""

from pathlib import Path

from causal_attrib.scenes.dataset import write_dataset
from causal_attrib.scenes.drawing import NATIVE_SIZE, render
from causal_attrib.scenes.language import (
    CAPTION_PROMPT,
    CAPTION_QUESTION,
    FalseCaption,
    SceneQuestion,
    caption,
    describe,
    falsify,
    questions,
    reasoned_answer,
    reasoned_prompt,
)
from causal_attrib.scenes.world import (
    CLASSES,
    COLOURS,
    PAINTED,
    PARK,
    PARTNERS,
    PLACES,
    STYLES,
    TIMES,
    Scene,
    Sticker,
    sample_scene,
)

BUNDLED_MODEL = Path(__file__).resolve().parent.parent / "assets" / "model"

__all__ = [
    "BUNDLED_MODEL",
    "CAPTION_PROMPT",
    "CAPTION_QUESTION",
    "CLASSES",
    "COLOURS",
    "FalseCaption",
    "NATIVE_SIZE",
    "PAINTED",
    "PARK",
    "PARTNERS",
    "PLACES",
    "STYLES",
    "Scene",
    "SceneQuestion",
    "Sticker",
    "TIMES",
    "caption",
    "describe",
    "falsify",
    "questions",
    "reasoned_answer",
    "reasoned_prompt",
    "render",
    "sample_scene",
    "write_dataset",
]

"""What the saliency tests share: a picture, a caption, and a reader for a model."""

import numpy as np
from PIL import Image

from causal_attrib.scores.saliency_methods.reader import Reader
from causal_attrib.scores.saliency_methods.target import choose_target

CAPTION = "a dog and a red frisbee on the grass"
PROMPT = "What is it?"


def noise(size=(80, 60), seed=0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8))


def reader_of(vlm, picture=None, *, words=None, foil=None, batch_size=3) -> Reader:
    encoding = vlm.encode(noise() if picture is None else picture, PROMPT, CAPTION)
    return Reader(vlm, encoding, choose_target(vlm, encoding, "word", words, foil), batch_size)

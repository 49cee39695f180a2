import copy

import numpy as np
import pytest
from PIL import Image

from causal_attrib.doctor.case import Case
from causal_attrib.io.pictures import read_picture
from causal_attrib.vlm import VLM
from tests.tiny_models import tiny

PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 255, (60, 80, 3), dtype=np.uint8))
CAPTION = "a dog on the grass"


@pytest.fixture
def healthy() -> VLM:
    return tiny("llava_clip_llama")


@pytest.fixture
def clone(healthy):
    """A copy of the healthy model that may be broken, as a `VLM` of a kind that may be broken too."""
    return lambda kind=VLM: kind(copy.deepcopy(healthy.model), healthy.processor, name=healthy.name)


@pytest.fixture
def case():
    return lambda vlm, caption=CAPTION: Case(vlm, read_picture(PICTURE), caption)

"""Shared fixtures: the bundled model, tiny models of other architectures, and a picture."""

import zlib
from pathlib import Path

import pytest
import torch

import causal_attrib
from causal_attrib.outcomes import Function
from causal_attrib.vlm import VLM

PARK = Path(__file__).parents[1] / "examples" / "park.png"
TRUE = "a dog and a red frisbee on the grass at noon"
FALSE = "a dog and a red frisbee on the grass at sunset"

# Tells texts apart, so that engines that write other texts give other outcomes.
DIGEST = Function("tests:digest", lambda text, reference: zlib.crc32(text.encode()) / 2**32, None)

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def bundled() -> VLM:
    return causal_attrib.load(device="cpu")


@pytest.fixture(scope="session")
def park() -> Path:
    return PARK

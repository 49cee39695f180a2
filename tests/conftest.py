"""Shared fixtures: the bundled model and a picture; and which tests are made of rare architectures."""

import os
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

# Of tests that each architecture has, in these rooms: what costs least and finds most, and what is refused of some.
QUICK = {
    "test_logits_equal_a_call_by_hand",
    "test_hidden_tokens_equal_an_edited_embedding_table",
    "test_a_hidden_word_is_read_on_no_path",
    "test_packed_branches_equal_rows_read_alone",
    "test_pixels_in_an_order_that_is_not_known_are_refused",
    "test_a_picture_that_is_given_twice_is_refused",
    "test_tokens_without_a_place_are_refused",
}

ROOMS = [Path(__file__).parent / room for room in ("conformance", "engine", "saliency")]

torch.set_num_threads(1)


def pytest_collection_modifyitems(config, items):
    """All tests of all models take minutes: `make models` makes those of rare ones too."""
    if config.getoption("--models-page", None) or os.environ.get("COPO_ALL_MODELS"):
        return
    each = [item for item in items if item.path.parent in ROOMS and hasattr(item, "callspec")]
    if not each:
        return
    from tests.tiny_generic import RARE

    left_out = {
        item
        for item in each
        if item.originalname not in QUICK
        and any(value in RARE for value in item.callspec.params.values() if isinstance(value, str))
    }
    if left_out:
        config.hook.pytest_deselected(items=list(left_out))
        items[:] = [item for item in items if item not in left_out]


@pytest.fixture(scope="session")
def bundled() -> VLM:
    return causal_attrib.load(device="cpu")


@pytest.fixture(scope="session")
def park() -> Path:
    return PARK

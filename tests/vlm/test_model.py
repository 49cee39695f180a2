"""What a model refuses. That its numbers are right is shown for every architecture in tests/conformance."""

import pytest
import torch
from torch import nn

from causal_attrib.errors import InputError
from causal_attrib.vlm import Continuation
from tests.conftest import PARK
from tests.tiny_models import tiny

CAPTION = "a dog and a red frisbee on the grass"


@pytest.fixture
def vlm():
    return tiny("llava_siglip_qwen2")


def test_nan_weights_are_said(vlm):
    encoding = vlm.encode(PARK, "What is it?", CAPTION)
    row_D = vlm.model.get_input_embeddings().weight[encoding.response_ids[0]]
    good_D = row_D.detach().clone()
    with torch.no_grad():
        row_D.fill_(torch.nan)
    try:
        with pytest.raises(InputError, match="NaN"):
            vlm.read(encoding, [Continuation(encoding.response_ids)])
    finally:
        with torch.no_grad():
            row_D.copy_(good_D)


def test_a_token_that_cannot_be_hidden_is_said(vlm):
    """A model that embeds its words elsewhere would silently be scored on the unhidden caption."""
    encoding = vlm.encode(PARK, "What is it?", CAPTION)
    right = vlm.family.embedding
    vlm.family.embedding = nn.Embedding(right.num_embeddings, right.embedding_dim)
    try:
        with pytest.raises(InputError, match="--mask token or delete"):
            vlm.read(encoding, [Continuation(encoding.response_ids, (1,))])
        vlm.read(encoding, [Continuation(encoding.response_ids)])
    finally:
        vlm.family.embedding = right


def test_a_checkpoints_own_penalties_do_not_change_what_is_written(vlm):
    """Qwen2.5-VL comes with a penalty on repetition, under which words are not the likeliest by what is read."""
    encoding = vlm.encode(PARK, "What is it?", CAPTION)
    (expected,) = vlm.write(encoding, Continuation(()), 12)
    settings = vlm.model.generation_config
    settings.repetition_penalty, settings.no_repeat_ngram_size = 5.0, 1
    try:
        assert vlm.write(encoding, Continuation(()), 12) == [expected]
    finally:
        settings.repetition_penalty, settings.no_repeat_ngram_size = None, None


def test_longer_than_the_model_can_read():
    git = tiny("git")
    with pytest.raises(InputError, match="reads at most 512"):
        git.encode(PARK, "", CAPTION * 100)

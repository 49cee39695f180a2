"""What a model refuses. That its numbers are right is shown for every architecture in tests/conformance."""

import pytest
import torch
from torch import nn
from transformers import GenerationConfig

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


@pytest.mark.parametrize("name", ["llava_siglip_qwen2", "blip2_opt", "florence2"])
@pytest.mark.parametrize(
    "settings",
    [
        {"repetition_penalty": 5.0, "no_repeat_ngram_size": 1},  # Qwen2.5-VL comes with such a penalty
        {"min_new_tokens": 11, "forced_eos_token_id": 5},
        {"max_time": 1e-9, "max_new_tokens": 1},
        {"exponential_decay_length_penalty": (1, 5.0)},
        {"watermarking_config": {"bias": 20.0, "greenlist_ratio": 0.5}},
        {"sequence_bias": [[[7], 50.0]], "bad_words_ids": [[7]], "begin_suppress_tokens": [9]},
        {"stop_strings": ["a"]},
        {"return_dict_in_generate": True, "output_scores": True},
        {"num_return_sequences": 2, "num_beams": 2},
        {"do_sample": True, "temperature": 9.0, "top_k": 3},
        {"penalty_alpha": 0.6, "top_k": 4},
        {"dola_layers": "high"},
        {"force_words_ids": [[7]], "num_beams": 2},
        {"guidance_scale": 3.0},
        {"prompt_lookup_num_tokens": 3},
        {"cache_implementation": "static"},
        {"use_cache": False},
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_a_checkpoints_own_generation_settings_do_not_change_what_is_written(name, settings):
    """Under them, words are not the likeliest by what is read, or `generate` gives something else than ids."""
    vlm = tiny(name)
    encoding = vlm.encode(PARK, None, CAPTION)
    (expected,) = vlm.write(encoding, Continuation(()), 12)
    owners = [module for module in vlm.model.modules() if hasattr(module, "generation_config")]
    before = [module.generation_config for module in owners]
    for module in owners:
        module.generation_config = GenerationConfig(**module.generation_config.to_dict() | settings)
    changed = [module.generation_config for module in owners]
    try:
        assert vlm.write(encoding, Continuation(()), 12) == [expected]
        assert [module.generation_config for module in owners] == changed, "the model must be left as it was found"
    finally:
        for module, settings in zip(owners, before, strict=True):
            module.generation_config = settings


def test_longer_than_the_model_can_read():
    git = tiny("git")
    with pytest.raises(InputError, match="reads at most 512"):
        git.encode(PARK, "", CAPTION * 100)

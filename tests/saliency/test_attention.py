"""Attention maps are the rollout that can be written out by hand, and are refused where there are no weights."""

import numpy as np
import pytest
import torch

from causal_attrib.errors import InputError
from causal_attrib.scores.saliency_methods.attention import attention
from causal_attrib.vlm.modes import attention_kernel
from tests.conformance.test_layouts import NO_BOXES
from tests.saliency.common import reader_of
from tests.tiny_models import BUILDERS, tiny


@pytest.fixture
def eager(request):
    vlm = tiny(request.param)
    with attention_kernel(vlm.model, "eager"):
        yield vlm


@pytest.mark.parametrize(
    "eager", [name for name in BUILDERS if name not in NO_BOXES | {"deepseek_vl_hybrid"}], indirect=True
)
def test_weights_are_shares_of_what_is_looked_at(eager):
    reader = reader_of(eager, words="dog red")
    found = attention(reader)
    for weight_N in found:
        assert weight_N.shape == (len(reader.encoding.layout.positions),)
        assert (weight_N >= 0).all() and 0 < weight_N.sum() <= 1 + 1e-5
    assert not np.allclose(*found)


@pytest.mark.parametrize("eager", ["llava_clip_llama", "git"], indirect=True)
@torch.no_grad()
def test_rollout_by_hand(eager):
    """The product of whole matrices, each the mean over heads averaged with the identity."""
    reader = reader_of(eager, words="dog")
    family, encoding = eager.family, reader.encoding
    inputs = family.extend(encoding.prompt_inputs, [encoding.response_ids], eager.pad_id)
    output = eager.model(**inputs, output_attentions=True, use_cache=False)
    product_LL = torch.eye(output.attentions[0].shape[-1])
    for layer in output.attentions:
        product_LL = 0.5 * (layer[0].mean(0) + torch.eye(len(product_LL))) @ product_LL
    # The second token ("dog") is predicted at the place of the first: the last but one before the last T - 1.
    (position,) = reader.target.tokens[0]
    query = len(product_LL) - len(encoding.response_ids) - 1 + position
    expected_N = product_LL[query, list(encoding.layout.positions)].numpy()
    np.testing.assert_allclose(attention(reader)[0], expected_N, atol=1e-6)


@pytest.mark.parametrize("eager", ["blip", "vision_encoder_decoder"], indirect=True)
def test_cross_attention_is_all_on_the_picture(eager):
    (weight_N,) = attention(reader_of(eager, words="dog"))
    assert weight_N.sum() == pytest.approx(1, abs=1e-5)


def test_without_weights_it_is_refused(bundled):
    with pytest.raises(InputError, match="eager"):
        attention(reader_of(bundled, words="dog"))


@pytest.mark.parametrize("eager", ["llava_clip_llama"], indirect=True)
def test_a_foil_is_refused(eager):
    with pytest.raises(InputError, match="foil"):
        attention(reader_of(eager, words="dog", foil="cat"))

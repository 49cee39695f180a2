"""Attention over picked keys is what torch gives behind the whole mask."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from causal_attrib.engine import attention
from causal_attrib.engine.attention import OwnKeys
from causal_attrib.vlm.prefix_cache import PrefixCache, float_mask


@pytest.mark.parametrize("at_once", [1, 700, 2**25])
@pytest.mark.parametrize(("heads", "of_keys"), [(4, 4), (6, 2)])
def test_own_keys_in_pieces_and_under_grouped_queries(at_once, heads, of_keys, monkeypatch):
    monkeypatch.setattr(attention, "AT_ONCE", at_once)
    queries, keys, shared, width = 7, 23, 9, 8
    torch.manual_seed(0)
    query = torch.randn(1, heads, queries, width)
    key, value = torch.randn(2, 1, of_keys, keys, width)
    own = [[9, 11], [10], [], [12, 13, 22], [14], [15, 9], [21]]
    seen_QK = torch.zeros(queries, keys, dtype=torch.bool)
    seen_QK[:, :shared] = torch.rand(queries, shared) < 0.8
    places_QL = np.full((queries, 3), -1)
    for q, places in enumerate(own):
        seen_QK[q, places] = True
        places_QL[q, : len(places)] = places
    mask = float_mask(seen_QK, torch.float32)
    prefix = PrefixCache(None, torch.zeros(1, 1), 0, torch.arange(keys), mask=mask)
    expected = F.scaled_dot_product_attention(query, key, value, mask, enable_gqa=True)
    with OwnKeys(prefix, shared, places_QL):
        got = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, enable_gqa=heads != of_keys)
    torch.testing.assert_close(got, expected, atol=1e-6, rtol=1e-5)

"""Branches packed into one forward behind a prompt that was read once equal ordinary forwards of each branch."""

import contextlib

import numpy as np
import pytest
import torch
from PIL import Image

from causal_attrib.vlm import Continuation
from causal_attrib.vlm.modes import attention_kernel
from tests.tiny_generic import NOT_PACKED
from tests.tiny_models import BUILDERS, tiny

PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 255, (60, 80, 3), dtype=np.uint8))
# Kosmos-2 takes no mask of our own, the others count positions by index: they are read one row at a time.
DO_NOT_PACK = {"kosmos2", "blip2_t5", "pix2struct", *NOT_PACKED}


def sees_what_is_before_it(prompt, prefix, branches):
    """Which keys each query sees: the prompt, the prefix up to where its branch leaves it, its own branch so far."""
    queries = prefix + sum(length for _, length in branches)
    seen_QK = torch.zeros(queries, prompt + queries, dtype=torch.bool)
    seen_QK[:, :prompt] = True
    seen_QK[:prefix, prompt : prompt + prefix] = torch.ones(prefix, prefix).tril().bool()
    start = prefix
    for leaves, length in branches:
        end = start + length
        seen_QK[start:end, prompt : prompt + leaves] = True
        seen_QK[start:end, prompt + start : prompt + end] = torch.ones(length, length).tril().bool()
        start = end
    return seen_QK


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("name", [name for name in BUILDERS if name not in DO_NOT_PACK])
@torch.no_grad()
def test_packed_branches_equal_rows_read_alone(name, attention):
    vlm = tiny(name)
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(attention_kernel(vlm.model, attention))
        except ValueError:
            pytest.skip("transformers has no such kernel for it")
        encoding = vlm.encode(PICTURE, "What is it?", "a dog and a red frisbee on the grass")
        ids = encoding.response_ids
        # The second row leaves the caption behind two tokens.
        other = ids[4:7]
        (caption_TV,), (branch_TV,) = (vlm.read(encoding, [Continuation(row)]) for row in (ids, ids[:2] + other))
        prefix = vlm.family.prefill(encoding.prompt_inputs)
        torch.testing.assert_close(prefix.logits_TV, caption_TV[:1], atol=1e-5, rtol=0)

        prompt, count = prefix.length, len(ids)
        embedded_QD = vlm.family.embedding(torch.tensor([ids + other]))[0]
        depth_Q = torch.tensor([*range(count), 2, 3, 4])
        seen_QK = sees_what_is_before_it(prompt, count, [(2, 3)])
        logits_QV = vlm.family.decode_step(prefix, embedded_QD, depth_Q, seen_QK, torch.arange(count + 3))
        torch.testing.assert_close(logits_QV[:count], caption_TV[1:], atol=1e-5, rtol=0)
        torch.testing.assert_close(logits_QV[count:], branch_TV[3:], atol=1e-5, rtol=0)

        # Cut back to the caption, the branch comes out the same; only the logits that are asked for come back.
        vlm.family.cut(prefix, 3)
        assert prefix.length == prompt + count
        again_NV = vlm.family.decode_step(
            prefix, embedded_QD[count:], depth_Q[count:], seen_QK[count:], torch.tensor([0, 2])
        )
        torch.testing.assert_close(again_NV, branch_TV[[3, 5]], atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", sorted(DO_NOT_PACK))
def test_models_that_do_not_pack_say_so(name):
    assert not tiny(name).family.packs

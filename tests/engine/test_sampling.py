"""What the packed engine draws has the distribution of transformers' own sampling."""

import numpy as np
import pytest
import torch
from scipy.stats import chi2_contingency, chisquare

from causal_attrib.engine import PackedEngine
from causal_attrib.engine.base import Draft
from causal_attrib.engine.gumbel import GumbelNoise
from causal_attrib.vlm import Continuation
from tests.conftest import PARK
from tests.tiny_models import tiny

DRAWS, LENGTH = 3000, 3


@pytest.fixture(scope="module")
def vlm():
    return tiny("llava_siglip_qwen2")


@pytest.fixture(scope="module")
def encoding(vlm):
    return vlm.encode(PARK, "Look.", "a dog and a red frisbee")


@pytest.fixture(scope="module")
def drawn(vlm, encoding):
    """DRAWS continuations of two tokens of the caption, by the packed engine."""
    row = Continuation(encoding.response_ids[:2])
    return PackedEngine(vlm).write([Draft(encoding, row, LENGTH, GumbelNoise(0, 1, k)) for k in range(DRAWS)])


def shares(vlm, encoding, ids):
    """What the model expects behind some tokens, by one ordinary forward; what it must not write is left out."""
    (logits,) = vlm.read(encoding, [Continuation(ids)])
    logits[-1, vlm.unwritable_ids] = -torch.inf
    return logits[-1].softmax(-1).double().numpy()


def pooled(observed, expected):
    """Rare tokens together, so that every cell has five or more."""
    order = np.argsort(expected)
    rare = order[np.cumsum(expected[order]) < 10]
    often = np.setdiff1d(np.arange(len(expected)), rare)
    return np.append(observed[often], observed[rare].sum()), np.append(expected[often], expected[rare].sum())


def test_first_tokens_follow_the_model_s_distribution(vlm, encoding, drawn):
    share_V = shares(vlm, encoding, encoding.response_ids[:2])
    ends = sorted(vlm.end_ids)
    # An empty continuation is an end; the end ids are pooled, since what is cut off is not told apart.
    first = [ids[0] if ids else ends[0] for ids in drawn]
    observed = np.bincount(first, minlength=len(share_V))
    share_V[ends[0]] = share_V[ends].sum()
    share_V[ends[1:]] = 0
    observed, expected = pooled(observed, DRAWS * share_V / share_V.sum())
    assert len(observed) > 10
    assert chisquare(observed, expected).pvalue > 1e-3


def test_later_tokens_follow_it_given_the_first(vlm, encoding, drawn):
    firsts = [ids[0] for ids in drawn if ids]
    commonest = max(set(firsts), key=firsts.count)
    second = [ids[1] for ids in drawn if len(ids) > 1 and ids[0] == commonest]
    share_V = shares(vlm, encoding, (*encoding.response_ids[:2], commonest))
    share_V[sorted(vlm.end_ids)] = 0
    observed = np.bincount(second, minlength=len(share_V))
    observed, expected = pooled(observed, len(second) * share_V / share_V.sum())
    assert chisquare(observed, expected).pvalue > 1e-3


def test_generate_draws_the_same_distribution(vlm, encoding, drawn):
    inputs = vlm.family.extend(encoding.prompt_inputs, [encoding.response_ids[:2]] * 500, vlm.pad_id)
    torch.manual_seed(0)
    theirs = []
    for _ in range(DRAWS // 500):
        written = vlm.family.generate(
            inputs,
            do_sample=True,
            top_k=0,
            top_p=1.0,
            temperature=1.0,
            max_new_tokens=1,
            suppress_tokens=vlm.unwritable_ids,
            pad_token_id=vlm.pad_id,
        )
        theirs += written[:, 0].tolist()
    size = vlm.model.config.text_config.vocab_size
    end = min(vlm.end_ids)
    counts = [
        np.bincount([end if token in vlm.end_ids else token for token in tokens], minlength=size)
        for tokens in ([ids[0] if ids else end for ids in drawn], theirs)
    ]
    often = (counts[0] + counts[1]) >= 20
    table = np.array([[*count[often], count[~often].sum()] for count in counts])
    assert chi2_contingency(table[:, table.sum(0) > 0]).pvalue > 1e-3

"""A small model runs on one thread wherever it is called from, and the caller's setting is as it was."""

import pytest
import torch

import causal_attrib
from causal_attrib.vlm import threads
from causal_attrib.vlm.threads import suited_threads
from tests.conftest import PARK


@pytest.fixture
def three_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def seen_in(vlm, call):
    """How many threads forwards of a model ran on during a call."""
    counts = set()
    handle = vlm.model.register_forward_pre_hook(lambda *_: counts.add(torch.get_num_threads()))
    try:
        call()
    finally:
        handle.remove()
    return counts


def test_scores_maps_and_captions(bundled, three_threads):
    calls = (
        lambda: causal_attrib.score(PARK, "a dog", model=bundled),
        lambda: causal_attrib.score(PARK, "a dog", model=bundled, engine="plain"),
        lambda: causal_attrib.saliency(PARK, "a dog", model=bundled, words="dog", regions="grid:2"),
        lambda: bundled.describe(PARK),
    )
    for call in calls:
        assert seen_in(bundled, call) == {1}
        assert torch.get_num_threads() == 3


def test_the_setting_comes_back_after_an_error(bundled, three_threads):
    with pytest.raises(RuntimeError), suited_threads(bundled.model):
        raise RuntimeError
    assert torch.get_num_threads() == 3


def test_a_large_model_keeps_its_threads(bundled, three_threads, monkeypatch):
    monkeypatch.setattr(threads, "SMALL", 10)
    assert seen_in(bundled, lambda: causal_attrib.score(PARK, "a dog", model=bundled)) == {3}

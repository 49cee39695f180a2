"""The packed engine gives the plain engine's numbers and words on every architecture, with every attention kernel."""

import pytest

from causal_attrib.engine import PackedEngine, PlainEngine, choose_engine
from causal_attrib.engine.base import Draft, Request
from causal_attrib.engine.gumbel import GumbelNoise
from causal_attrib.vlm import Continuation
from causal_attrib.vlm.modes import attention_kernel
from tests.conformance.test_models import CAPTION, LOGITS, PICTURE, PROMPT

WHY_NOT = "its family does not pack: every edit takes a forward of its own"


@pytest.fixture
def encoding(vlm):
    return vlm.encode(PICTURE, PROMPT, CAPTION, "a red dog", question="Who?")


def rows_of_all_kinds(vlm, encoding):
    """Edited responses as the engines read them, with what is read of each."""
    ids, tail = encoding.response_ids, encoding.cue_ids + encoding.answer_ids
    mask = vlm.pad_id
    edited = [
        (ids, (), "zero"),
        ((), (), "zero"),
        (ids[:3], (), "zero"),
        (ids, (1,), "zero"),
        (ids, (0, 2), "mean"),
        ((*ids[:2], mask, *ids[3:]), (), "zero"),
        ((*ids[:2], *ids[3:]), (), "zero"),
    ]
    for reference in (False, True):
        for kept, hidden, fill in edited:
            places = range(len(kept) + len(encoding.cue_ids), len(kept) + len(tail))
            yield Continuation(kept + tail, hidden, fill, reference), tuple(places)
            visible = tuple(place for place in range(len(kept)) if place not in hidden)
            yield Continuation(kept, hidden, fill, reference), visible


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_packed_log_probabilities_are_those_of_ordinary_forwards(vlm, encoding, attention, measured, without):
    if not vlm.family.packs:
        without("packed", WHY_NOT)
    try:
        with attention_kernel(vlm.model, attention):
            requests = [Request(encoding, *each) for each in rows_of_all_kinds(vlm, encoding)]
            plain, packed = (kind(vlm).logprobs(requests, lambda count: None) for kind in (PlainEngine, PackedEngine))
    except ValueError:
        without(attention, "transformers has no such kernel for it")
    worst = max((a - b).abs().max().item() for a, b in zip(plain, packed, strict=True) if len(a))
    measured("packed", worst, LOGITS)


def test_log_probabilities_behind_two_pictures_at_once_are_those_of_ordinary_forwards(vlm, encoding):
    engine = choose_engine("auto", vlm, encoding, several=True)
    if engine.name != "packed" or engine.pictures == 1:
        pytest.skip("pictures are taken one by one")
    requests = [Request(encoding, *each) for each in rows_of_all_kinds(vlm, encoding)]
    plain, joined = (each.logprobs(requests, lambda count: None) for each in (PlainEngine(vlm), engine))
    assert max((a - b).abs().max().item() for a, b in zip(plain, joined, strict=True) if len(a)) <= LOGITS


def test_scanning_gives_the_logits_of_one_ordinary_forward(vlm, encoding, measured, without):
    if not vlm.family.packs:
        without("packed", WHY_NOT)
    plain, packed = (kind(vlm).scan(encoding) for kind in (PlainEngine, PackedEngine))
    measured("packed", (plain - packed).abs().max(), LOGITS)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_packed_writing_is_that_of_generate(vlm, encoding, attention, measured, without):
    if not vlm.family.packs:
        without("packed", WHY_NOT)
    ids = encoding.response_ids
    rows = [
        Continuation(()),
        Continuation(ids[:2]),
        Continuation(ids[:4]),
        Continuation(ids[:4], (1,)),
        Continuation(ids[:5], (0, 3), "mean"),
    ]
    drafts = [Draft(encoding, row, 6, noise) for row in rows for noise in (None, GumbelNoise(0, 1, 0))]
    drafts += [
        Draft(encoding, Continuation(ids[:count]), 9 - count, GumbelNoise(0, 0, k))
        for count in range(5)
        for k in (0, 1)
    ]
    try:
        with attention_kernel(vlm.model, attention):
            plain, packed = (kind(vlm).write(drafts) for kind in (PlainEngine, PackedEngine))
    except ValueError:
        without(attention, "transformers has no such kernel for it")
    measured("writing", sum(a != b for a, b in zip(plain, packed, strict=True)), 0)

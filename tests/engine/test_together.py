"""Branches behind several pictures in one forward give what they give apart."""

import warnings

import numpy as np
import pytest
import torch
from PIL import Image

from causal_attrib.engine import Job, PackedEngine, PlainEngine, choose_engine, together
from causal_attrib.engine.base import Draft
from causal_attrib.engine.gumbel import GumbelNoise
from causal_attrib.interventions import Keep
from causal_attrib.outcomes import Grounding, Likelihood
from causal_attrib.scores import necessity, sufficiency
from causal_attrib.vlm import VLM, Continuation
from causal_attrib.vlm.modes import attention_kernel
from causal_attrib.vlm.prefix_cache import JoinedCache
from tests.conftest import DIGEST, PARK
from tests.tiny_models import BUILDERS, ONE_OF_EACH_KIND, cache_given, tiny

CAPTIONS = ("a dog and a red frisbee", "two cats", "a very long red bus on the grass")
# Layers that look at the picture beside the keys, or no further than a window, or out of sight.
APART = {
    *("gemma3", "aya_vision", "exaone4_5", "mllama", "idefics", "blip", "git", "florence2", "vision_encoder_decoder"),
    *("cohere2_vision", "cohere_compass", "kimi_k25", "step3p7", "muse_glimmer"),
}


def pictures():
    noise = [np.random.default_rng(k).integers(0, 255, (60, 80, 3), dtype=np.uint8) for k in range(2)]
    return [PARK, *map(Image.fromarray, noise)]


def encodings(vlm, **more):
    return [
        vlm.encode(picture, "Look.", caption, **more) for picture, caption in zip(pictures(), CAPTIONS, strict=True)
    ]


def plan(encoding):
    units = encoding.units("token")
    return sufficiency.plan(units) + necessity.plan(units)


def jobs(vlm, outcome, **more):
    return [Job(encoding, plan(encoding), outcome) for encoding in encodings(vlm, **more)]


class Sizes:
    """Notes of each forward over branches how many tokens it had, and behind how many pictures."""

    def __init__(self, monkeypatch):
        self.seen = []
        run = together.forward

        def noted(asks):
            self.seen.append((sum(ask.size for ask in asks), len(asks)))
            return run(asks)

        monkeypatch.setattr(together, "forward", noted)


@pytest.fixture(params=[name for name in ONE_OF_EACH_KIND if name not in APART])
def vlm(request):
    return tiny(request.param)


@pytest.mark.parametrize("more", [{}, {"against": "blur"}])
def test_outcomes_are_those_of_ordinary_forwards(vlm, more, monkeypatch):
    if not vlm.family.packs:
        pytest.skip("it cannot be packed")
    expected = PlainEngine(vlm).run_jobs(jobs(vlm, Grounding(), **more))
    sizes = Sizes(monkeypatch)
    got = PackedEngine(vlm, pictures=3).run_jobs(jobs(vlm, Grounding(), **more))
    for one, other in zip(got, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    assert max(count for _, count in sizes.seen) > 1


@pytest.mark.parametrize("coupling", ["independent", "gumbel"])
@pytest.mark.parametrize("outcome", [Likelihood(), DIGEST])
def test_drawn_completions_are_the_same(outcome, coupling, monkeypatch):
    vlm = tiny("llava_siglip_qwen2")
    asked = {"answer": "a red dog", "question": "What is it?"}
    how = {"samples": 2, "seed": 3, "coupling": coupling}
    apart = PackedEngine(vlm).run_jobs(jobs(vlm, outcome, **asked), **how)
    sizes = Sizes(monkeypatch)
    got = PackedEngine(vlm, pictures=3).run_jobs(jobs(vlm, outcome, **asked), **how)
    for one, other in zip(got, apart, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    assert max(count for _, count in sizes.seen) == 3


def test_words_are_those_of_generate(vlm):
    if not vlm.family.packs:
        pytest.skip("it cannot be packed")
    drafts = [
        Draft(encoding, Continuation(encoding.response_ids[:count]), 5, noise)
        for encoding in encodings(vlm)
        for count in (0, 2)
        for noise in (None, GumbelNoise(0, 1, 0))
    ]
    assert PackedEngine(vlm, pictures=3).write(drafts) == PlainEngine(vlm).write(drafts)


@pytest.mark.parametrize("budget", [1, 7, 30, 1000])
def test_forwards_are_filled_up_to_the_budget(budget, monkeypatch):
    vlm = tiny("llava_siglip_qwen2")
    expected = PackedEngine(vlm).run_jobs(jobs(vlm, Grounding()))
    sizes = Sizes(monkeypatch)
    engine = PackedEngine(vlm, pictures=3)
    engine._budget = budget
    got = engine.run_jobs(jobs(vlm, Grounding()))
    for one, other in zip(got, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    assert max(size for size, _ in sizes.seen) <= budget
    if budget == 1000:
        assert len(sizes.seen) == 2  # six trees, three at a time


def test_no_more_pictures_are_held_than_may_be():
    vlm = tiny("llava_siglip_qwen2")
    engine = PackedEngine(vlm, pictures=2)
    assert engine.together([job.encoding for job in jobs(vlm, Grounding()) * 2]) == [[0, 3, 1, 4], [2, 5]]
    engine.run_jobs(jobs(vlm, Grounding(), against="blur"))
    assert sorted(key.reference for key in engine._trees) == [False, False, True, True]


@pytest.mark.parametrize("samples", [0, 2])
def test_where_memory_runs_out_pictures_are_taken_one_by_one(samples):
    vlm, tried = tiny("llava_siglip_qwen2"), []
    asked = {"answer": "a red dog", "question": "What is it?"}
    expected = PackedEngine(vlm).run_jobs(jobs(vlm, Likelihood(), **asked), samples=samples)

    def scarce(module, args, kwargs):
        if isinstance(cache_given(module, kwargs), JoinedCache):
            tried.append(1)
            raise torch.OutOfMemoryError("CUDA out of memory.")

    engine = PackedEngine(vlm, 64, pictures=3)
    hook = vlm.model.model.language_model.layers[-1].register_forward_pre_hook(scarce, with_kwargs=True)
    try:
        got = engine.run_jobs(jobs(vlm, Likelihood(), **asked), samples=samples)
    finally:
        hook.remove()
    assert len(tried) == 1 and engine.pictures == 1
    for one, other in zip(got, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


# -- which models may ------------------------------------------------------------------------------------------------


def chosen(vlm):
    return choose_engine("auto", vlm, vlm.encode(PARK, "Look.", "a red dog"), several=True)


@pytest.mark.parametrize("name", BUILDERS)
def test_pictures_are_joined_where_that_is_right(name):
    vlm = VLM(tiny(name).model, tiny(name).processor, name="fresh")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("error", UserWarning)
        engine = chosen(vlm)
    if not vlm.family.packs:
        assert isinstance(engine, PlainEngine)
    else:
        assert (engine.pictures > 1) == (name not in APART)


def test_a_model_that_attends_out_of_sight_takes_pictures_one_by_one():
    known = tiny("llava_siglip_qwen2")
    vlm = VLM(known.model, known.processor, name="fresh")
    with attention_kernel(vlm.model, "eager"):
        assert chosen(vlm).pictures == 1
        with pytest.raises(together.NotJoinedError):
            PackedEngine(vlm, pictures=3).run_jobs(jobs(vlm, Grounding()))


def test_a_model_that_goes_wrong_over_several_pictures_is_found_out(monkeypatch):
    known = tiny("llava_siglip_qwen2")
    vlm = VLM(known.model, known.processor, name="fresh")
    right = vlm.family.decode_step_together

    def wrong(joined, embedded_QD, depths, seen, wanted_N):
        return right(joined, embedded_QD, [depth_Q + 2 for depth_Q in depths], seen, wanted_N)

    monkeypatch.setattr(vlm.family, "decode_step_together", wrong)
    with pytest.warns(UserWarning, match=r"over several pictures differ from ordinary ones by 0?\.\d.* nats"):
        assert chosen(vlm).pictures == 1


def test_the_plan_of_a_job_is_kept_in_order():
    """Keep(0) is the same edit for all captions; each gets the outcome of its own."""
    vlm = tiny("llava_siglip_qwen2")
    mixed = [Job(encoding, (Keep(1), Keep(0)), Grounding()) for encoding in encodings(vlm)]
    got = PackedEngine(vlm, pictures=3).run_jobs([mixed[n] for n in (2, 0, 1)])
    for n, one in zip((2, 0, 1), got, strict=True):
        expected = PlainEngine(vlm).run(mixed[n].encoding, mixed[n].interventions, Grounding())
        np.testing.assert_allclose(one, expected, atol=1e-6)

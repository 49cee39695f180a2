"""What is particular to the packed engine: what it puts into which forward, and what that saves."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from causal_attrib.engine import Cost, Job, PackedEngine, PlainEngine
from causal_attrib.engine.base import Draft
from causal_attrib.engine.gumbel import GumbelNoise
from causal_attrib.engine.node import ROOT, Nodes, distinct
from causal_attrib.engine.packed import forwards
from causal_attrib.engine.tree import Tree
from causal_attrib.errors import InputError
from causal_attrib.interventions import Keep, Mask, Whole
from causal_attrib.outcomes import Grounding, Likelihood, YesNo
from causal_attrib.scores import necessity, sufficiency
from causal_attrib.vlm import VLM, Continuation
from causal_attrib.vlm.modes import attention_kernel
from tests.conftest import DIGEST, PARK
from tests.fuzz import fuzz
from tests.tiny_models import cache_given, tiny

CAPTION = "a dog and a red frisbee"


@pytest.fixture
def vlm():
    return tiny("llava_siglip_qwen2")


def plan(encoding):
    units = encoding.units("token")
    return sufficiency.plan(units) + necessity.plan(units)


def tree(vlm, encoding):
    return Tree(vlm, encoding.prompt_inputs, encoding.response_ids, Cost())


def drawn(seen_QK, prompt):
    """A mask as text, the prompt's keys left out."""
    return ["".join(".#"[int(see)] for see in row[prompt:]) for row in seen_QK]


def test_the_mask_can_be_checked_by_eye(vlm):
    """The drawing of docs/engine.md: caption 0123, branches with one token hidden each."""
    encoding = vlm.encode(PARK, "Look.", vlm.encode(PARK, "Look.", CAPTION).response_ids[:4])
    grown = tree(vlm, encoding)
    rows = [grown.path(Continuation(encoding.response_ids, (t,))) for t in range(4)]
    nodes = grown.nodes.unplaced(np.concatenate(rows))
    seen_QK = grown.sees(nodes)
    assert seen_QK[:, : grown.prompt_keys].all()
    assert drawn(seen_QK, grown.prompt_keys) == [
        # 0123 _123_23_3_
        "....#.........",
        "....##........",
        "....###.......",
        "....####......",
        "#.......#.....",
        "#.......##....",
        "#.......###...",
        "##.........#..",
        "##.........##.",
        "###..........#",
    ]


def test_a_node_put_through_again_does_not_see_itself_twice(vlm):
    encoding = vlm.encode(PARK, "Look.", CAPTION)
    grown = tree(vlm, encoding)
    third = grown.path(Continuation(encoding.response_ids))[2:3]
    assert drawn(grown.sees(third[:0], third), grown.prompt_keys) == [
        "##" + "." * (len(encoding.response_ids) - 2) + "#"
    ]


@fuzz
@given(
    rows=st.lists(st.lists(st.integers(5, 8), min_size=1, max_size=9), min_size=1, max_size=12),
    budget=st.integers(1, 20),
)
def test_every_node_is_put_through_once_behind_its_parent(rows, budget):
    vlm = tiny("llava_siglip_qwen2")
    encoding = vlm.encode(PARK, "Look.", CAPTION)
    grown = tree(vlm, encoding)
    paths = [grown.path(Continuation(tuple(ids))) for ids in rows]
    parent_of, place_of = grown.nodes.parent_N, grown.nodes.place_N
    expected = {node for path in paths for node in path.tolist() if place_of[node] < 0}
    leaves = distinct(np.array([path[-1] for path in paths]))
    done = []
    for forward in forwards(grown, leaves[place_of[leaves] < 0], budget):
        assert 0 < len(forward) <= budget
        for index, node in enumerate(forward):
            parent = parent_of[node]
            assert parent == ROOT or place_of[parent] >= 0 or parent in forward[:index]
        grown._cache(forward)
        grown.prefix.key_position_K = torch.zeros(grown.prompt_keys + len(grown.cached))
        grown.family.cut = lambda prefix, count: None
        done += forward.tolist()
    del grown.family.cut
    assert len(done) == len(set(done)) and set(done) == expected
    assert len(grown.cached) == grown.read


def test_nodes_are_those_of_texts_that_begin_alike():
    """By hand: 1-2-3, then 1-2 with a branch 9, then the same with 2 hidden, which is another token."""
    nodes = Nodes()
    first, second, third = (
        nodes.spell(row) for row in (Continuation((1, 2, 3)), Continuation((1, 2, 9, 4)), Continuation((1, 2, 3), (1,)))
    )
    assert first.tolist() == [1, 2, 3] and second.tolist() == [1, 2, 4, 5] and third.tolist() == [1, 6, 7]
    assert nodes.parent_N[: len(nodes)].tolist() == [-1, 0, 1, 2, 2, 4, 1, 6]
    assert nodes.depth_N[: len(nodes)].tolist() == [-1, 0, 1, 2, 2, 3, 1, 2]
    assert nodes.token_N[: len(nodes)].tolist() == [-1, 1, 2, 3, 9, 4, -1, 3]
    assert nodes.child(2, 3) == 3 and nodes.child(2, 9) == 4 and nodes.child(7, 5) == 8
    # 5 is wanted before 3, and 2 and 1 above both.
    assert nodes.unplaced(np.array([5, 3])).tolist() == [1, 2, 4, 5, 3]
    nodes.place_N[[1, 2]] = 0, 1
    assert nodes.unplaced(np.array([7, 5, 1])).tolist() == [6, 7, 4, 5]
    nodes.forget(5)
    assert len(nodes) == 6 and nodes.spell(Continuation((1, 2, 3), (1,))).tolist() == [1, 6, 7]


@pytest.mark.parametrize("budget", [1, 2, 5, 13, 60])
@pytest.mark.parametrize("outcome", [Grounding(), YesNo()])
def test_the_size_of_forwards_changes_nothing(vlm, budget, outcome):
    encoding = vlm.encode(PARK, "Look.", CAPTION)
    packed = PackedEngine(vlm)
    packed._budget = budget
    np.testing.assert_allclose(
        packed.run(encoding, plan(encoding), outcome),
        PlainEngine(vlm).run(encoding, plan(encoding), outcome),
        atol=1e-6,
    )


def test_the_picture_is_read_once(vlm):
    encoding = vlm.encode(PARK, "Look.", CAPTION, "a red dog", question="What is it?")
    packed = PackedEngine(vlm)
    packed.scan(encoding)
    packed.run(encoding, plan(encoding), Likelihood())
    T, C, A = len(encoding.response_ids), len(encoding.cue_ids), len(encoding.answer_ids)
    # Each prefix (the whole response is the longest) takes the cue and the answer but for its last token; behind a
    # hidden token comes what follows it as well.
    tail = C + A - 1
    assert packed.cost.positions == encoding.prompt_length + T + (T + 1) * tail + sum(T - t + tail for t in range(T))


def test_captions_of_one_picture_share_its_reading(vlm):
    captions = (CAPTION, "a red dog and a frisbee", CAPTION + " on the grass")
    encodings = [vlm.encode(PARK, "Look.", caption) for caption in captions]
    jobs = [Job(encoding, plan(encoding), Grounding()) for encoding in encodings]
    together, alone = PackedEngine(vlm), PlainEngine(vlm)
    for got, job in zip(together.run_jobs(jobs), jobs, strict=True):
        expected = alone.run(job.encoding, job.interventions, job.outcome)
        np.testing.assert_allclose(got, expected, atol=1e-6)
    one_each = 0
    for job in jobs:
        engine = PackedEngine(vlm)
        engine.run(job.encoding, job.interventions, job.outcome)
        one_each += engine.cost.positions
    # With the picture and without: of three readings each, one.
    assert together.cost.positions < one_each - 4 * encodings[0].prompt_length + 50


def test_the_neutral_picture_serves_all_pictures_of_a_size(vlm):
    noise = [Image.fromarray(np.random.default_rng(k).integers(0, 255, (60, 80, 3), dtype=np.uint8)) for k in range(2)]
    encodings = [vlm.encode(picture, "Look.", CAPTION) for picture in noise]
    engine = PackedEngine(vlm)
    outcomes = [engine.run(encoding, plan(encoding), Grounding()) for encoding in encodings]
    expected = [PlainEngine(vlm).run(encoding, plan(encoding), Grounding()) for encoding in encodings]
    np.testing.assert_allclose(outcomes, expected, atol=1e-6)
    first = PackedEngine(vlm)
    first.run(encodings[0], plan(encodings[0]), Grounding())
    saved = 2 * first.cost.positions - engine.cost.positions
    assert saved >= encodings[0].prompt_length


def test_each_blurred_picture_is_its_own(vlm):
    noise = [Image.fromarray(np.random.default_rng(k).integers(0, 255, (60, 80, 3), dtype=np.uint8)) for k in range(2)]
    encodings = [vlm.encode(picture, "Look.", CAPTION, against="blur") for picture in (PARK, *noise)]
    engine = PackedEngine(vlm)
    outcomes = [engine.run(encoding, plan(encoding), Grounding()) for encoding in encodings]
    expected = [PlainEngine(vlm).run(encoding, plan(encoding), Grounding()) for encoding in encodings]
    np.testing.assert_allclose(outcomes, expected, atol=1e-6)
    together = PackedEngine(vlm).run_jobs([Job(encoding, plan(encoding), Grounding()) for encoding in encodings])
    np.testing.assert_allclose(together, expected, atol=1e-6)


def test_another_prompt_is_another_tree(vlm):
    """Also where the difference is in what stands around it, as a system turn would."""
    encodings = [vlm.encode(PARK, "Look.", CAPTION) for _ in range(2)]
    longer = dict(encodings[1].prompt_inputs)
    for name in ("input_ids", "attention_mask"):
        longer[name] = torch.cat([longer[name], longer[name][:, -1:]], 1)
    encodings[1] = replace(encodings[1], prompt_inputs=longer, prompt_length=longer["input_ids"].shape[1])
    engine = PackedEngine(vlm)
    got = [engine.run(encoding, plan(encoding), YesNo()) for encoding in encodings]
    expected = [PlainEngine(vlm).run(encoding, plan(encoding), YesNo()) for encoding in encodings]
    np.testing.assert_allclose(got, expected, atol=1e-6)
    assert np.abs(got[0] - got[1]).max() > 1e-4


def test_coupled_draws_that_meet_are_written_once(vlm):
    encoding = vlm.encode(PARK, "Look.", CAPTION)
    # Take a caption that draw 0 itself writes: from every prefix of it, draw 0 goes on with it.
    written = PackedEngine(vlm)
    (ids,) = written.write([Draft(encoding, Continuation(()), 8, GumbelNoise(0, 0, 0))])
    own = vlm.encode(PARK, "Look.", ids)
    keeps = [Keep(count) for count in range(len(ids) + 1)]
    costs = {}
    for coupling in ("gumbel", "independent"):
        engine = PackedEngine(vlm)
        r = engine.run(own, keeps, DIGEST, samples=1, coupling=coupling)
        np.testing.assert_array_equal(r, PlainEngine(vlm).run(own, keeps, DIGEST, samples=1, coupling=coupling))
        costs[coupling] = engine.cost.positions - own.prompt_length
    assert costs["gumbel"] < costs["independent"] / 3


class TooSmall:
    """Makes the model's last layer run out of memory, as a GPU would, in forwards of more tokens than fit."""

    def __init__(self, vlm, fits):
        self.fits, self.times = fits, 0
        self.hook = vlm.model.model.language_model.layers[-1].register_forward_pre_hook(self.check, with_kwargs=True)

    def check(self, module, args, kwargs):
        states = args[0] if args else kwargs["hidden_states"]
        cached = cache_given(module, kwargs).get_seq_length(0) > states.shape[1]
        if cached and states.shape[1] > self.fits:
            self.times += 1
            raise torch.OutOfMemoryError("CUDA out of memory.")


@pytest.mark.parametrize("samples", [0, 3])
def test_running_out_of_memory_makes_forwards_smaller(vlm, samples):
    encoding = vlm.encode(PARK, "Look.", CAPTION, "a red dog", question="What is it?")
    how = {"samples": samples, "coupling": "gumbel"}
    expected = PlainEngine(vlm).run(encoding, plan(encoding), Likelihood(), **how)
    scarce = TooSmall(vlm, fits=6)
    try:
        got = PackedEngine(vlm).run(encoding, plan(encoding), Likelihood(), **how)
    finally:
        scarce.hook.remove()
    assert scarce.times > 1
    np.testing.assert_allclose(got, expected, atol=1e-6)


def test_memory_that_never_suffices_is_told(vlm):
    encoding = vlm.encode(PARK, "Look.", CAPTION)
    scarce = TooSmall(vlm, fits=0)
    try:
        with pytest.raises(torch.OutOfMemoryError):
            PackedEngine(vlm).run(encoding, (Whole(), Mask((1,))), YesNo())
    finally:
        scarce.hook.remove()


def test_a_long_caption_takes_no_more_than_its_forwards_allow(vlm):
    encoding = vlm.encode(PARK, "Look.", " ".join([CAPTION] * 6))
    largest = 0

    def note(module, args, kwargs):
        nonlocal largest
        states = args[0] if args else kwargs["hidden_states"]
        largest = max(
            largest, states.shape[1] if cache_given(module, kwargs).get_seq_length(0) > states.shape[1] else 0
        )

    hook = vlm.model.model.language_model.layers[-1].register_forward_pre_hook(note, with_kwargs=True)
    try:
        engine = PackedEngine(vlm)
        engine._budget = 100
        engine.run(encoding, plan(encoding), Grounding())
    finally:
        hook.remove()
    assert 0 < largest <= 100


def test_nan_in_a_branch_alone_is_said(vlm, monkeypatch):
    encoding = vlm.encode(PARK, "Look.", CAPTION)
    monkeypatch.setitem(vars(vlm), "mean_embedding_D", torch.full_like(vlm.mean_embedding_D, torch.nan))
    with pytest.raises(InputError, match="NaN"):
        PackedEngine(vlm).run(encoding, [Mask((1,), "mean")], Grounding())
    draft = Draft(encoding, Continuation(encoding.response_ids, (1,), "mean"), 3, GumbelNoise(0, 0, 0))
    with pytest.raises(InputError, match="NaN"):
        PackedEngine(vlm).write([draft])


def test_the_picture_is_read_for_one_text_at_a_time(vlm):
    """That words can be hidden was once looked at in a forward three times as large as any other."""
    fresh = VLM(vlm.model, vlm.processor, name="fresh")
    encoding = fresh.encode(PARK, "Look.", " ".join([CAPTION] * 4))
    rows = []

    def note(module, args, given):
        if "pixel_values" in given:
            rows.append(tuple(given["input_ids"].shape))

    hook = vlm.model.register_forward_pre_hook(note, with_kwargs=True)
    try:
        PackedEngine(fresh).run(encoding, [Mask((1,))], Grounding())
    finally:
        hook.remove()
    prompt = encoding.prompt_length
    # The reference image, three short texts with a hidden word, and the caption.
    assert sorted(rows) == [(1, prompt), *[(1, prompt + 16)] * 3, (1, prompt + len(encoding.response_ids))]


def test_flex_attention_gives_what_ordinary_forwards_give():
    """Uncompiled: on a CPU each shape would take seconds to compile. Gemma 3 has masks of two kinds."""
    vlm = tiny("gemma3")
    encoding = vlm.encode(PARK, "Look.", CAPTION)
    expected = PlainEngine(vlm).run(encoding, plan(encoding), Grounding())
    torch.compiler.set_stance("force_eager")
    try:
        with attention_kernel(vlm.model, "flex_attention"):
            got = PackedEngine(vlm).run(encoding, plan(encoding), Grounding())
            assert not vlm.family.joins
    finally:
        torch.compiler.set_stance("default")
    np.testing.assert_allclose(got, expected, atol=1e-6)

"""What each engine gives equals a brute-force loop over `VLM.read` and `generate` that a reader can check by eye."""

import numpy as np
import pytest

from causal_attrib.engine import Job, PackedEngine, PlainEngine
from causal_attrib.engine.gumbel import GumbelNoise
from causal_attrib.errors import InputError
from causal_attrib.interventions import Keep, Mask, Rewrite, Whole
from causal_attrib.outcomes import Function, Grounding, Likelihood, Match, YesNo
from causal_attrib.vlm import Continuation
from causal_attrib.vlm.text import decode
from tests.conftest import PARK
from tests.tiny_models import ONE_OF_EACH_KIND, tiny

CAPTION = "a dog and a red frisbee"
QUESTION = "What is it?"
PLAN = (Whole(), Keep(0), Keep(3), Mask((1,)), Mask((0, 2), "mean"), Mask((2,), "token"), Mask((2,), "delete"))


@pytest.fixture(params=ONE_OF_EACH_KIND)
def vlm(request):
    return tiny(request.param)


EITHER = pytest.mark.parametrize("kind", [PlainEngine, PackedEngine])


@pytest.fixture(params=[PlainEngine, PackedEngine])
def kind(request, vlm):
    if request.param is PackedEngine and not vlm.family.packs:
        pytest.skip("its family does not pack")
    return request.param


def edited_by_hand(vlm, ids):
    """(ids, hidden positions, fill) of each intervention of PLAN."""
    gap = vlm.tokenizer.unk_token_id
    return [
        (ids, (), "zero"),
        ((), (), "zero"),
        (ids[:3], (), "zero"),
        (ids, (1,), "zero"),
        (ids, (0, 2), "mean"),
        ((*ids[:2], gap, *ids[3:]), (), "zero"),
        ((*ids[:2], *ids[3:]), (), "zero"),
    ]


def logprobs(vlm, encoding, ids, hidden, fill, reference=False):
    (logits,) = vlm.read(encoding, [Continuation(ids, hidden, fill, reference)])
    return [logits[i].log_softmax(-1)[token].item() for i, token in enumerate(ids)]


def test_likelihood_is_the_geometric_mean_of_the_answer(kind, vlm):
    encoding = vlm.encode(PARK, "Look.", CAPTION, "a red dog", question=QUESTION)
    got = kind(vlm).run(encoding, PLAN, Likelihood())
    expected = []
    for ids, hidden, fill in edited_by_hand(vlm, encoding.response_ids):
        every = logprobs(vlm, encoding, ids + encoding.cue_ids + encoding.answer_ids, hidden, fill)
        expected.append(np.exp(np.mean(every[-len(encoding.answer_ids) :])))
    np.testing.assert_allclose(got[:, 0], expected, atol=1e-6)


def test_yesno_weighs_two_answers(kind, vlm):
    encoding = vlm.encode(PARK, "Look.", CAPTION)
    got = kind(vlm).run(encoding, PLAN, YesNo())
    cue, yes, no = vlm.question_ids(encoding, "Does this caption describe the image? Answer yes or no.", ("yes", "no"))
    expected = []
    for ids, hidden, fill in edited_by_hand(vlm, encoding.response_ids):
        p = [np.exp(sum(logprobs(vlm, encoding, ids + cue + a, hidden, fill)[-len(a) :])) for a in (yes, no)]
        expected.append(p[0] / sum(p))
    np.testing.assert_allclose(got[:, 0], expected, atol=1e-6)


def test_grounding_compares_with_a_neutral_picture(kind, vlm):
    encoding = vlm.encode(PARK, "Look.", CAPTION)
    got = kind(vlm).run(encoding, PLAN, Grounding())
    expected = []
    for number, (ids, hidden, fill) in enumerate(edited_by_hand(vlm, encoding.response_ids)):
        gain = np.subtract(*(logprobs(vlm, encoding, ids, hidden, fill, reference) for reference in (False, True)))
        # A token that was hidden does not speak, by embedding or (intervention 5) by a mask token.
        silent = hidden or ((2,) if number == 5 else ())
        gain = np.delete(gain, silent) if len(gain) else gain
        expected.append(1 / (1 + np.exp(-gain.sum() / len(encoding.response_ids))))
    np.testing.assert_allclose(got[:, 0], expected, atol=1e-6)
    assert got[1, 0] == 0.5


@pytest.mark.parametrize("outcome", [Grounding(), YesNo()])
def test_batch_size_changes_nothing(kind, vlm, outcome):
    encoding = vlm.encode(PARK, "Look.", CAPTION)
    one, many = (kind(vlm, batch_size=size).run(encoding, PLAN, outcome) for size in (1, 4))
    np.testing.assert_allclose(one, many, atol=1e-6)


def test_equal_edits_are_run_once(vlm):
    encoding = vlm.encode(PARK, "Look.", CAPTION)
    engine = PlainEngine(vlm)
    count = len(encoding.response_ids)
    r = engine.run(encoding, (Whole(), Keep(count), Keep(1)), Grounding())
    assert r[0, 0] == r[1, 0]
    assert engine.cost.forwards == 4, "two edits, with the picture and without"


def constant(r):
    return Function("test:constant", lambda text, reference: r, None)


@pytest.mark.parametrize("r", [1.5, -0.2, float("nan")])
def test_outcomes_outside_their_range_are_refused(r):
    vlm = tiny("llava_siglip_qwen2")
    with pytest.raises(InputError, match="must be a number from 0 to 1"):
        PlainEngine(vlm).run(vlm.encode(PARK, "Look.", CAPTION), (Keep(1),), constant(r))


def texts_judged(kind, vlm, encoding, plan, **how):
    """What a text outcome is shown, one list per intervention."""
    seen = []
    outcome = Function("test:spy", lambda text, reference: seen.append(text) or 0.5, None)
    kind(vlm).run(encoding, plan, outcome, **how)
    return seen


def test_captions_are_rewritten_behind_the_masked_word(kind, vlm):
    encoding = vlm.encode(PARK, "Look.", CAPTION)
    ids = encoding.response_ids
    kept, rewritten, masked = texts_judged(kind, vlm, encoding, (Keep(3), Rewrite(3), Rewrite(3, (2,))))
    tail = len(ids) - 3 + 32
    assert kept == decode(vlm.tokenizer, ids[:3])
    assert rewritten == decode(vlm.tokenizer, ids[:3] + vlm.write(encoding, Continuation(ids[:3]), tail)[0])
    assert masked == decode(vlm.tokenizer, ids[:2] + vlm.write(encoding, Continuation(ids[:3], (2,)), tail)[0])


def test_answers_are_written_behind_the_cue(kind, vlm):
    encoding = vlm.encode(PARK, "Look.", CAPTION, "a dog", question=QUESTION)
    (text,) = texts_judged(kind, vlm, encoding, (Mask((1,)),))
    row = Continuation(encoding.response_ids + encoding.cue_ids, (1,))
    assert text == decode(vlm.tokenizer, vlm.write(encoding, row, len(encoding.answer_ids) + 32)[0]).strip()


def test_draws_depend_on_the_seed_and_nothing_else(kind, vlm):
    encoding = vlm.encode(PARK, "Look.", CAPTION)
    first = texts_judged(kind, vlm, encoding, (Keep(2), Keep(3)), samples=3, seed=1)
    assert first == texts_judged(kind, vlm, encoding, (Keep(2), Keep(3)), samples=3, seed=1)
    assert first != texts_judged(kind, vlm, encoding, (Keep(2), Keep(3)), samples=3, seed=2)
    assert len(set(first)) == 6
    assert all(text.startswith(decode(vlm.tokenizer, encoding.response_ids[:2])) for text in first)


@EITHER
def test_coupled_draws_go_on_alike_where_the_same_token_is_drawn(kind):
    vlm = tiny("llava_siglip_qwen2")
    encoding = vlm.encode(PARK, "Look.", CAPTION)
    drawn = texts_judged(kind, vlm, encoding, (Keep(2),), samples=1, coupling="gumbel")[0]
    # Take the very token that was drawn as the next token of the response: with and without it must end alike.
    (written,) = vlm.write(encoding, Continuation(encoding.response_ids[:2]), 40, [GumbelNoise(0, 0, 0)])
    longer = vlm.encode(PARK, "Look.", encoding.response_ids[:2] + written[:1] + encoding.response_ids[2:])
    without, with_it = texts_judged(kind, vlm, longer, (Keep(2), Keep(3)), samples=1, coupling="gumbel")
    assert without[: len(drawn)] == with_it[: len(drawn)]
    apart = texts_judged(kind, vlm, longer, (Keep(2), Keep(3)), samples=1, coupling="independent")
    assert apart[0] != apart[1]


@EITHER
def test_sampled_likelihood_completes_the_response_first(kind):
    vlm = tiny("llava_siglip_qwen2")
    encoding = vlm.encode(PARK, "Look.", CAPTION, "a dog", question=QUESTION)
    got = kind(vlm).run(encoding, (Keep(2),), Likelihood(), samples=2, seed=5)
    longest = len(encoding.response_ids) - 2 + 32
    for k in range(2):
        (written,) = vlm.write(encoding, Continuation(encoding.response_ids[:2]), longest, [GumbelNoise(5, 1, k)])
        ids = encoding.response_ids[:2] + written + encoding.cue_ids + encoding.answer_ids
        expected = np.exp(np.mean(logprobs(vlm, encoding, ids, (), "zero")[-len(encoding.answer_ids) :]))
        assert got[0, k] == pytest.approx(expected, abs=1e-6)


def test_tagged_reasoning_is_completed_up_to_its_end(bundled):
    """A completion that goes on to answer by itself is cut before its own cue, so the answer is asked for once."""
    text = "<think> a dog on the grass </think> <answer> yes </answer>"
    encoding = bundled.encode(PARK, response=text, question="Is there a dog in the image?")
    engine = PlainEngine(bundled)
    opening = encoding.response_ids[: encoding.start]
    written = encoding.response_ids[encoding.start :]
    kept = engine._reasoning_only(encoding, opening, written)
    assert decode(bundled.tokenizer, opening + kept) == " <think> a dog on the grass"


def test_match_reads_the_sampled_answer(kind, vlm):
    encoding = vlm.encode(PARK, "Look.", CAPTION, "a dog", question=QUESTION)
    r = kind(vlm).run(encoding, (Keep(1), Keep(2)), Match("a dog"), samples=2)
    assert r.shape == (2, 2) and set(np.unique(r)) <= {0.0, 1.0}


def test_progress_counts_every_intervention(kind, vlm):
    encoding = vlm.encode(PARK, "Look.", CAPTION)
    done = []
    kind(vlm, batch_size=3, on_done=done.append).run(encoding, (*PLAN, Whole()), YesNo())
    assert sum(done) == len(PLAN) + 1


@pytest.mark.parametrize("outcome", [Grounding(), YesNo()])
def test_the_forecast_of_readings_is_exact(kind, vlm, outcome):
    encoding = vlm.encode(PARK, "Look.", CAPTION)
    engine = kind(vlm)
    engine.scan(encoding)
    before, forecast = engine.cost.positions, engine.forecast([Job(encoding, PLAN, outcome)])
    engine.run(encoding, PLAN, outcome)
    assert engine.cost.positions - before == forecast


@pytest.mark.parametrize("outcome", [Match("a dog"), YesNo()])
def test_the_forecast_of_texts_is_not_exceeded(kind, vlm, outcome):
    encoding = vlm.encode(PARK, "Look.", CAPTION)
    engine, plan = kind(vlm), (Keep(0), Keep(3))
    forecast = engine.forecast([Job(encoding, plan, outcome)], samples=2)
    engine.run(encoding, plan, outcome, samples=2)
    assert 0 < engine.cost.positions <= forecast

"""Scores of rollouts against `causal_attrib.score`, which is the slow and plain way to the same numbers."""

import copy
import dataclasses
import warnings

import numpy as np
import pytest
import torch
from tokenizers.normalizers import Replace

import causal_attrib
from causal_attrib.engine import PlainEngine
from causal_attrib.engine.base import SLACK
from causal_attrib.errors import InputError
from causal_attrib.interventions import Whole
from causal_attrib.outcomes import Likelihood
from causal_attrib.training.scoring.policy_scores import PolicyScorer, Scoring
from causal_attrib.training.scoring.rollout import Rollout, encode_completion, encode_prompt
from causal_attrib.vlm import VLM
from causal_attrib.vlm.text import decode
from tests.tiny_models import tiny
from tests.training.runs import scene_rows

(ROW, OTHER) = scene_rows(2)
REASONED = " <think> a horse and a cake on the water at sunset, so there is a cake. </think> <answer> yes </answer>"
LENGTH = 40


def ids_of(vlm, text):
    return tuple(vlm.tokenizer(text, add_special_tokens=False)["input_ids"]) + (vlm.tokenizer.eos_token_id,)


def rollout(vlm, text=REASONED, row=ROW, **more):
    return Rollout(row["image"], row["prompt"], ids_of(vlm, text), **({"answer": row["answer"]} | more))


@pytest.fixture
def scorer(bundled):
    return lambda vlm=bundled, **settings: PolicyScorer(vlm.model, vlm.processor, Scoring(**settings))


def plain_score(vlm, made, **settings):
    """The same by `causal_attrib.score`, an ordinary forward per edit."""
    return causal_attrib.score(
        made.image,
        made.completion_ids[:-1],
        model=vlm,
        prompt=made.messages[0]["content"],
        question=made.question or made.messages[0]["content"],
        answer=made.answer,
        objects=made.objects,
        engine="plain",
        **settings,
    )


def check_against(attribution, scores, b):
    for t, token in enumerate(attribution.tokens):
        assert scores.scored_BT[b, t].item() == (token.necessity is not None)
        assert scores.sufficiency_BT[b, t].item() == pytest.approx(token.sufficiency or 0.0, abs=1e-4)
        assert scores.necessity_BT[b, t].item() == pytest.approx(token.necessity or 0.0, abs=1e-4)
    rest = slice(len(attribution.tokens), None)
    assert not scores.scored_BT[b, rest].any() and not scores.sufficiency_BT[b, rest].any()


@pytest.mark.parametrize("settings", [{}, {"level": "word", "mask": "mean"}])
def test_scores_are_those_of_the_plain_way_token_by_token(bundled, scorer, settings):
    # One stands there twice, with others of its prompt and of another between.
    texts = [(REASONED, ROW), (REASONED.replace("horse", "dog"), ROW), (REASONED, OTHER), (REASONED, ROW)]
    made = [rollout(bundled, text, row) for text, row in texts]
    scores = scorer(**settings)(made, LENGTH)
    assert scores.sufficiency_BT.shape == scores.scored_BT.shape == (4, LENGTH)
    for b, one in enumerate(made):
        check_against(plain_score(bundled, one, **settings), scores, b)
    assert scores.scored_BT.any(1).all() and scores.necessity_BT.abs().max() > 0.01


def test_sampled_scores_are_those_of_the_plain_way(bundled, scorer):
    settings = {"samples": 2, "coupling": "gumbel", "estimator": "mean_gain", "level": "word"}
    made = rollout(bundled, " <think> there is a cake. </think> <answer> yes </answer>")
    scores = scorer(**settings)([made], LENGTH, seed=7)
    check_against(plain_score(bundled, made, seed=7, **settings), scores, 0)


def test_a_caption_is_scored_by_the_question_asked_behind_it(bundled, scorer):
    made = rollout(bundled, " a horse and a cake on the water", question="Is there a cake in the image?", answer="yes")
    check_against(plain_score(bundled, made), scorer()([made], LENGTH), 0)


def test_a_caption_without_question_is_scored_by_grounding(bundled, scorer):
    made = rollout(bundled, " a horse and a cake on the water", answer=None)
    expected = causal_attrib.score(
        made.image, made.completion_ids[:-1], model=bundled, prompt=made.messages[0]["content"], engine="plain"
    )
    assert expected.outcome["name"] == "grounding"
    check_against(expected, scorer()([made], LENGTH), 0)


def test_a_picture_can_be_held_against_itself_blurred(bundled, scorer):
    made = [rollout(bundled, " a horse and a cake on the water", row, answer=None) for row in (ROW, OTHER)]
    scores = scorer(outcome="grounding", against="blur")(made, LENGTH)
    for b, one in enumerate(made):
        asked = {"prompt": one.messages[0]["content"], "against": "blur", "engine": "plain"}
        check_against(causal_attrib.score(one.image, one.completion_ids[:-1], model=bundled, **asked), scores, b)
    assert not np.allclose(scores.necessity_BT, scorer(outcome="grounding")(made, LENGTH).necessity_BT, atol=0.01)


def test_entropies_are_those_of_an_ordinary_forward_with_the_end_in(bundled, scorer):
    made = rollout(bundled)
    scores = scorer()([made], LENGTH, effects=False, entropy=True)
    prompt = bundled.encode(made.image, made.messages[0]["content"], ".").prompt_inputs
    ids = torch.tensor([made.completion_ids])
    with torch.no_grad():
        logits = bundled.model(
            input_ids=torch.cat([prompt["input_ids"], ids], 1),
            attention_mask=torch.ones(1, prompt["input_ids"].shape[1] + ids.shape[1]),
            pixel_values=prompt["pixel_values"],
        ).logits[0, -ids.shape[1] - 1 : -1]
    p = logits.softmax(-1)
    expected = -(p * p.log()).sum(-1)
    count = len(made.completion_ids)
    assert torch.allclose(scores.entropy_BT[0, :count], expected, atol=1e-4)
    assert not scores.entropy_BT[0, count:].any() and not scores.scored_BT.any()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  ",
        "\u200b",  # a character that nobody sees, which a policy at the start of its training may well sample
        " <think> </think> <answer> yes </answer>",
        " <think> a horse and a cake on the water",  # cut off: nothing leads to an answer
        " yes",  # what was asked is answered at once
    ],
)
def test_what_holds_no_reasoning_gets_no_score(bundled, scorer, text):
    scores = scorer()([rollout(bundled, text), rollout(bundled)], LENGTH, entropy=True)
    assert scores.scored_BT.any(1).tolist() == [False, True]
    assert not scores.sufficiency_BT[0].any() and not scores.necessity_BT[0].any()


@pytest.mark.parametrize("samples", [0, 1])
@pytest.mark.parametrize("outcome", ["likelihood", "match"])
def test_where_nothing_marks_the_answer_it_is_the_last_sentence(bundled, scorer, samples, outcome):
    told, marked = (
        rollout(bundled, f" a horse and a cake on the water.{cue} yes", answer="yes")
        for cue in ("", " The final answer is")
    )
    scores = scorer(outcome=outcome, samples=samples)([told, marked], LENGTH)
    count = len(ids_of(bundled, " a horse and a cake on the water.")) - 1
    assert scores.scored_BT[0].nonzero()[:, 0].tolist() == list(range(count))
    assert torch.equal(scores.scored_BT[0], scores.scored_BT[1])


def test_an_answer_that_nothing_marks_is_read_right_behind_the_reasoning(bundled):
    told = rollout(bundled, " a horse and a cake on the water. yes", answer="no")
    encoding = encode_completion(bundled, encode_prompt(bundled, told), told, "likelihood")
    assert decode(bundled.tokenizer, encoding.response_ids[: encoding.end]) == " a horse and a cake on the water."
    (r,) = PlainEngine(bundled).run(encoding, (Whole(),), Likelihood())
    no = bundled.tokenizer(" no", add_special_tokens=False)["input_ids"]
    behind = torch.tensor([[*encoding.response_ids[: encoding.end], *no]])
    shown = encoding.prompt_inputs
    logits_LV = bundled.model(
        input_ids=torch.cat([shown["input_ids"], behind], 1), pixel_values=shown["pixel_values"]
    ).logits[0]
    logprob_T = logits_LV.log_softmax(-1)[-len(no) - 1 : -1].gather(1, torch.tensor(no)[:, None])
    assert r == pytest.approx(logprob_T.mean().exp().item(), abs=1e-5)


@pytest.mark.parametrize("samples", [0, 1])
def test_what_leaves_no_room_for_its_question_gets_no_score(bundled, samples):
    """The policy could write it, but the question and the answer behind it would be more than the model reads."""
    model = copy.deepcopy(bundled.model)
    short, long = (
        rollout(bundled, text, question="Is there a cake in the image?", answer="yes")
        for text in (" a horse", " a horse and a cake on the water at noon")
    )
    prompt = bundled.encode(short.image, short.messages[0]["content"], ".").prompt_length
    asked = bundled.encode(
        short.image, short.messages[0]["content"], "a horse", "yes", question="Is there a cake in the image?"
    )
    room = len(asked.cue_ids + asked.answer_ids) + (SLACK if samples else 0)
    model.config.text_config.max_position_embeddings = prompt + len(short.completion_ids) + room
    scores = PolicyScorer(model, bundled.processor, Scoring(samples=samples))([short, long], LENGTH)
    assert scores.scored_BT.any(1).tolist() == [True, False]


def test_a_completion_that_is_left_out_has_no_tokens(bundled, scorer):
    left_out = dataclasses.replace(rollout(bundled), completion_ids=())
    scores = scorer()([left_out, rollout(bundled)], LENGTH, entropy=True)
    for values_BT in (scores.scored_BT, scores.entropy_BT):
        assert values_BT.any(1).tolist() == [False, True]


def test_ids_are_taken_as_they_are_and_not_tokenized_again(bundled, scorer):
    # "cake" spelt in single letters decodes to the same text.
    spelt = [bundled.tokenizer.convert_tokens_to_ids(c) for c in "cake"]
    ids, (cake,) = list(ids_of(bundled, REASONED)), bundled.tokenizer(" cake", add_special_tokens=False)["input_ids"]
    place, space = ids.index(cake), bundled.tokenizer(" ", add_special_tokens=False)["input_ids"]
    other = tuple(ids[:place] + space + spelt + ids[place + 1 :])
    made = dataclasses.replace(rollout(bundled), completion_ids=other)
    assert bundled.tokenizer.decode(other) == bundled.tokenizer.decode(ids)
    scores = scorer()([made], LENGTH)
    check_against(plain_score(bundled, made), scores, 0)


def test_the_model_is_scored_without_dropout_and_left_training(bundled):
    model = copy.deepcopy(bundled.model)
    model.config.text_config.attention_dropout = 0.5
    for layer in model.model.language_model.layers:
        layer.self_attn.attention_dropout = 0.5
    model.train()
    model.model.vision_tower.eval()
    modes = [module.training for module in model.modules()]
    scorer = PolicyScorer(model, bundled.processor)
    made = [rollout(bundled)]
    first, second = scorer(made, LENGTH), scorer(made, LENGTH)
    assert torch.equal(first.necessity_BT, second.necessity_BT)
    check_against(plain_score(bundled, made[0]), first, 0)
    assert [module.training for module in model.modules()] == modes
    assert torch.is_grad_enabled() and all(p.grad is None for p in model.parameters())


@pytest.fixture
def half_precision():
    """An accelerator of its own: accelerate has one state per process."""
    accelerate = pytest.importorskip("accelerate", reason="accelerate is not installed")
    accelerate.state.AcceleratorState._reset_state(reset_partial_state=True)
    yield accelerate.Accelerator(cpu=True, mixed_precision="bf16")
    accelerate.state.AcceleratorState._reset_state(reset_partial_state=True)


def test_a_model_under_mixed_precision_is_scored_in_its_own(bundled, half_precision):
    model = half_precision.prepare(copy.deepcopy(bundled.model))
    forward = model.forward
    made = [rollout(bundled)]
    ids = bundled.encode(made[0].image, made[0].messages[0]["content"], ".").prompt_inputs
    with torch.no_grad():
        assert (model(**ids).logits - bundled.model(**ids).logits).abs().max() > 1e-2
    check_against(plain_score(bundled, made[0]), PolicyScorer(model, bundled.processor)(made, LENGTH), 0)
    assert model.forward is forward


def test_a_changed_model_gets_its_own_scores(bundled):
    model = copy.deepcopy(bundled.model)
    scorer = PolicyScorer(model, bundled.processor, Scoring(mask="mean"))
    made = rollout(bundled, " a horse and a cake on the water", answer=None)
    before = scorer([made], LENGTH)
    with torch.no_grad():
        for parameter in model.model.language_model.layers.parameters():
            parameter.mul_(0.9)
        # So that the mean embedding, which hides words, is another too.
        model.get_input_embeddings().weight[:, ::2] += 0.05
    after = scorer([made], LENGTH)
    assert not torch.allclose(before.necessity_BT, after.necessity_BT, atol=1e-2)
    expected = causal_attrib.score(
        made.image,
        made.completion_ids[:-1],
        model=VLM(model, bundled.processor, name="changed"),
        prompt=made.messages[0]["content"],
        mask="mean",
        engine="plain",
    )
    check_against(expected, after, 0)


def test_the_check_of_the_packed_engine_is_made_once(bundled, monkeypatch):
    from causal_attrib.engine import choose

    measured = []
    monkeypatch.setattr(
        choose, "disagreement", lambda *args, keep=choose.disagreement: measured.append(args) or keep(*args)
    )
    scorer = PolicyScorer(copy.deepcopy(bundled.model), bundled.processor)
    for _ in range(3):
        scorer([rollout(bundled)], LENGTH)
    assert len(measured) == 1


def test_completions_of_one_picture_share_one_reading(bundled, monkeypatch):
    from causal_attrib.engine import packed

    scorer = PolicyScorer(bundled.model, bundled.processor)
    made = [rollout(bundled), rollout(bundled, row=OTHER), rollout(bundled, REASONED.replace("horse", "dog"))]
    scorer(made, LENGTH)
    read = []
    monkeypatch.setattr(packed, "Tree", lambda *args, keep=packed.Tree: read.append(args) or keep(*args))
    scorer(made, LENGTH, entropy=True)
    assert len(read) == 2


@pytest.mark.parametrize("subset, level", [("entropy", "token"), ("content", "word"), ("all", "span")])
def test_a_subset_has_the_scores_it_would_have_among_all(bundled, scorer, subset, level):
    made = [rollout(bundled)]
    some = scorer(subset=subset, level=level, share=0.3)(made, LENGTH)
    scored = some.scored_BT[0].nonzero()[:, 0]
    everything = scorer(level=level)(made, LENGTH)
    assert len(scored) > 0 and (subset == "all" or len(scored) < everything.scored_BT.sum())
    for name in ("sufficiency_BT", "necessity_BT"):
        assert torch.allclose(getattr(some, name)[0, scored], getattr(everything, name)[0, scored], atol=1e-5)


def test_a_longer_conversation_is_scored_as_the_policy_saw_it(bundled, scorer):
    messages = [
        {"role": "user", "content": "Describe this image."},
        {"role": "assistant", "content": "a dog"},
        *ROW["prompt"],
    ]
    asked = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Describe this image."}]}]
    text = bundled.processor.apply_chat_template([*asked, *messages[1:]], add_generation_prompt=True)
    seen = bundled.processor(text=text, images=ROW["image"], add_special_tokens=False)["input_ids"][0]
    made = dataclasses.replace(rollout(bundled), messages=messages, prompt_ids=tuple(seen))
    short = rollout(bundled)
    scores = scorer()([made, short], LENGTH)
    assert scores.scored_BT.any(1).all() and not torch.allclose(
        scores.necessity_BT[0], scores.necessity_BT[1], atol=1e-6
    )
    with pytest.raises(RuntimeError, match="is not the one that the policy saw"):
        scorer()([dataclasses.replace(short, prompt_ids=tuple(seen))], LENGTH)


@pytest.mark.parametrize("name", ["llava_clip_llama", "qwen2_vl", "idefics3"])
def test_other_architectures_are_scored_too(name):
    vlm = tiny(name)
    made = Rollout(np.full((60, 80, 3), 90, np.uint8), ROW["prompt"], ids_of(vlm, "a dog on the grass"))
    scores = PolicyScorer(vlm.model, vlm.processor)([made], LENGTH)
    expected = causal_attrib.score(
        made.image, made.completion_ids[:-1], model=vlm, prompt=ROW["prompt"][0]["content"], engine="plain"
    )
    check_against(expected, scores, 0)


def test_an_outcome_that_judges_text_is_sampled(bundled, scorer):
    made = rollout(bundled, " a horse and a cake", answer=None, objects=["horse", "cake"])
    scores = scorer(outcome="objects", samples=2, level="word", subset="content")([made], LENGTH)
    expected = causal_attrib.score(
        made.image,
        made.completion_ids[:-1],
        model=bundled,
        prompt=made.messages[0]["content"],
        objects=made.objects,
        outcome="objects",
        samples=2,
        level="word",
        engine="plain",
    )
    for t in scores.scored_BT[0].nonzero()[:, 0].tolist():
        assert scores.necessity_BT[0, t].item() == pytest.approx(expected.tokens[t].necessity, abs=1e-4)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"level": "letter"}, "There is no level 'letter'"),
        ({"subset": "some"}, "There is no subset 'some'"),
        ({"share": 0.0}, "The share of units to score is 0.0"),
        ({"engine": "fast"}, "There is no engine 'fast'"),
        ({"mask": "black"}, "There is no mask 'black'"),
        ({"against": "noise"}, "cannot be held against 'noise'"),
        ({"outcome": "yesno", "against": "blur"}, "yesno does not hold the picture against another"),
        ({"samples": -1}, "The number of samples is -1"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        Scoring(**settings)


def test_what_a_tokenizer_drops_does_not_keep_a_policy_from_being_packed(bundled):
    processor = copy.deepcopy(bundled.processor)
    processor.tokenizer.backend_tokenizer.normalizer = Replace(" .", "")
    scorer = PolicyScorer(bundled.model, processor, Scoring(level="word"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # that every edit takes its own forward
        scores = scorer([rollout(scorer.vlm, " <think> a cake </think> <answer> yes </answer>")], LENGTH)
    assert scores.scored_BT.sum() == 2

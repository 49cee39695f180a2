"""`score` puts plan, run and read together rightly, and the same call gives the same numbers."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from causal_attrib import InputError, score
from causal_attrib.engine import PlainEngine
from causal_attrib.interventions import Keep, Mask, Whole
from causal_attrib.io.pictures import read_picture
from causal_attrib.outcomes import Grounding
from causal_attrib.vlm import Continuation
from causal_attrib.vlm.reference_image import blurred
from tests.conftest import FALSE, PARK
from tests.tiny_models import ONE_OF_EACH_KIND, tiny

CAPTION = "a dog and a red frisbee on the grass"
QUESTION = "Is there a dog in the image?"


@pytest.fixture(params=ONE_OF_EACH_KIND)
def vlm(request):
    return tiny(request.param)


def test_scores_are_differences_of_single_outcomes(vlm):
    attribution = score(PARK, CAPTION, model=vlm, outcome="grounding", prompt="Look.")
    encoding = vlm.encode(PARK, "Look.", CAPTION)

    def r(intervention):
        return PlainEngine(vlm).run(encoding, [intervention], Grounding())[0, 0]

    for t, token in enumerate(attribution):
        assert token.necessity == pytest.approx(r(Whole()) - r(Mask((t,))), abs=1e-6)
        assert token.sufficiency == pytest.approx(max(r(Keep(t + 1)) - r(Keep(t)), 0), abs=1e-6)
        assert token.causal_completeness == pytest.approx(
            0.35 * min(max(token.sufficiency, 0), 1) + 0.35 * min(max(token.necessity, 0), 1)
        )
        assert token.sufficiency_se is None


def test_logprob_and_entropy_are_the_model_s(vlm):
    attribution = score(PARK, CAPTION, model=vlm, prompt="Look.")
    encoding = vlm.encode(PARK, "Look.", CAPTION)
    (logits_TV,) = vlm.read(encoding, [Continuation(encoding.response_ids)])
    for token, logits_V in zip(attribution, logits_TV, strict=False):
        p_V = logits_V.double().softmax(-1).numpy()
        assert token.logprob == pytest.approx(np.log(p_V[token.id]), abs=1e-5)
        assert token.entropy == pytest.approx(-(p_V * np.log(p_V)).sum(), abs=1e-5)


def test_words_share_one_score(vlm):
    attribution = score(PARK, CAPTION, model=vlm, level="word")
    by_word = attribution.to_frame().groupby("word")
    assert (by_word.necessity.nunique() == 1).all() and (by_word.sufficiency.nunique() == 1).all()
    encoding = vlm.encode(PARK, None, CAPTION)
    unit = encoding.units("word")[-1]
    whole, masked = PlainEngine(vlm).run(encoding, [Whole(), Mask(unit)], Grounding())[:, 0]
    assert attribution[-1].necessity == pytest.approx(whole - masked, abs=1e-6)


@settings(max_examples=20, deadline=None)
@given(
    size=st.integers(2, 12),
    words=st.lists(st.sampled_from("a dog red frisbee, sunset. the 🐕 on".split()), min_size=1, max_size=6),
    outcome=st.sampled_from(["grounding", "yesno"]),
    level=st.sampled_from(["token", "word"]),
    seed=st.integers(0, 2**31),
)
def test_neither_batch_size_nor_seed_changes_what_is_not_sampled(size, words, outcome, level, seed):
    call = {"model": tiny("llava_siglip_qwen2"), "outcome": outcome, "level": level}
    one = score(PARK, " ".join(words), **call).to_frame()
    many = score(PARK, " ".join(words), batch_size=size, seed=seed, **call).to_frame()
    for column in ("necessity", "sufficiency", "causal_completeness", "logprob", "entropy"):
        np.testing.assert_allclose(one[column], many[column], atol=1e-6)


@pytest.mark.parametrize("outcome", ["grounding", "yesno"])
def test_batch_size_changes_no_score(vlm, outcome):
    one, many = (score(PARK, CAPTION, model=vlm, outcome=outcome, batch_size=size).to_frame() for size in (1, 7))
    for column in ("necessity", "sufficiency", "causal_completeness", "logprob", "entropy"):
        np.testing.assert_allclose(one[column], many[column], atol=1e-6)


def test_seed_changes_only_what_is_sampled(bundled):
    call = {"model": bundled, "objects": ["dog", "frisbee"], "outcome": "objects", "samples": 2}
    first, second = (score(PARK, "a dog on the grass", seed=seed, **call).to_frame() for seed in (0, 1))
    assert (first.necessity == second.necessity).all()
    unsampled = [
        score(PARK, "a dog on the grass", model=bundled, seed=seed).to_frame().drop(columns="sufficiency_se")
        for seed in (0, 1)
    ]
    assert unsampled[0].equals(unsampled[1])


@pytest.mark.parametrize(
    "how", [{}, {"outcome": "yesno", "samples": 2}, {"objects": ["dog"], "samples": 2, "coupling": "gumbel"}]
)
def test_the_same_call_gives_the_same_bytes(bundled, how):
    def result():
        attribution = score(PARK, "a dog on the grass", model=bundled, **how)
        attribution.cost.pop("seconds")
        return attribution.to_bytes("json")

    assert result() == result()


def test_standard_error_comes_with_samples(bundled):
    sampled = score(PARK, "a dog", model=bundled, objects=["dog"], samples=3)
    assert all(token.sufficiency_se is not None for token in sampled)
    assert sampled.settings["samples"] == 3


def test_only_reasoning_is_scored(bundled):
    text = "<think> a dog on the grass </think> <answer> yes </answer>"
    attribution = score(PARK, text, model=bundled, question=QUESTION)
    scored = "".join(token.text for token in attribution if token.necessity is not None)
    assert scored == " a dog on the grass"
    assert attribution.outcome["name"] == "likelihood"
    assert all(token.logprob is not None for token in attribution)


def test_default_outcomes(bundled):
    assert score(PARK, "a dog", model=bundled, question=QUESTION, answer="yes").outcome["name"] == "likelihood"
    assert score(PARK, "a dog", model=bundled, objects=["dog"]).outcome["name"] == "objects"
    assert score(PARK, "a dog", model=bundled).outcome["name"] in ("grounding", "yesno")


def test_a_picture_held_against_itself_blurred(bundled):
    """r by hand, from two scores: of the picture and of the blurred one, each as a picture that is shown."""
    seen, unseen = (score(picture, FALSE, model=bundled) for picture in (PARK, blurred(read_picture(PARK).pixels)))
    gain_T = [one.logprob - other.logprob for one, other in zip(seen, unseen, strict=True)]
    attribution = score(PARK, FALSE, model=bundled, against="blur")
    assert attribution.outcome["value"] == pytest.approx(1 / (1 + math.exp(-np.mean(gain_T))), abs=1e-5)
    assert attribution.outcome["value"] != pytest.approx(seen.outcome["value"], abs=0.01)
    assert "held against itself blurred" in attribution.outcome["meaning"]
    assert "blurred" not in seen.outcome["meaning"]
    assert (seen.settings["against"], attribution.settings["against"]) == ("colour", "blur")


def test_the_model_writes_a_caption_when_none_is_given(bundled):
    attribution = score(PARK, model=bundled)
    assert attribution.generated and attribution.caption.strip()
    assert [token.id for token in attribution] == list(bundled.describe(PARK))


def test_the_false_word_of_the_readme_stands_out(bundled):
    """ "at sunset" by day: the only token whose removal helps clearly, and the least likely one."""
    attribution = score(PARK, FALSE, model=bundled)
    sunset = attribution["sunset"]
    others = [token for token in attribution if token.text.strip() != "sunset"]
    assert sunset[0].necessity < min(token.necessity for token in others)
    assert sunset[0].necessity < 0
    assert attribution["dog"][0].necessity > 0


def test_json_follows_the_schema(bundled):
    record = json.loads(score(PARK, "a dog", model=bundled).to_bytes("json"))
    assert record["schema"] == 1
    assert {"path", "sha256", "width", "height"} == set(record["image"])
    assert {"id", "revision", "dtype", "device", "attn", "quantization"} == set(record["model"])
    assert {"forwards", "positions", "captions", "seconds"} == set(record["cost"])
    assert {"name", "version"} == set(record["tool"])
    assert {"index", "text", "id", "word", "char_start", "char_end", "logprob", "entropy", "sufficiency"} <= set(
        record["tokens"][0]
    )


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"outcome": "nonsense"}, "no outcome"),
        ({"outcome": "likelihood"}, "needs an answer"),
        ({"outcome": "match"}, "needs an answer"),
        ({"outcome": "objects"}, "needs the objects"),
        ({"objects": ["unicorn"]}, "unicorn"),
        ({"objects": []}, "empty"),
        ({"outcome": "no_such_module:f"}, "cannot be imported"),
        ({"outcome": "math:no_such_function"}, "has no function"),
        ({"mask": "nonsense"}, "no mask"),
        ({"against": "nonsense"}, "cannot be held against"),
        ({"against": "blur", "outcome": "yesno"}, "does not hold the picture against another"),
        ({"against": "blur", "objects": ["dog"]}, "objects does not hold the picture against another"),
        ({"mask": "mean", "verdict": True}, "verdict is calibrated"),
        ({"level": "letter"}, "no level"),
        ({"estimator": "nonsense"}, "no estimator"),
        ({"coupling": "nonsense"}, "no coupling"),
        ({"engine": "nonsense"}, "no engine"),
        ({"lambda_s": 1.5}, "lambda_s"),
        ({"lambda_n": float("nan")}, "lambda_n"),
        ({"samples": -1}, "samples"),
        ({"batch_size": 0}, "batch size"),
        ({"seed": -1}, "seed"),
    ],
)
def test_refusals_are_one_sentence(bundled, how, said):
    with pytest.raises(InputError, match=said) as refusal:
        score(PARK, "a dog", model=bundled, **how)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    "how, said",
    [
        ({"caption": 5}, "The caption is 5; give a string"),
        ({"caption": ["a"]}, "give a string, or the ids of its tokens"),
        ({"prompt": 3}, "The prompt is 3"),
        ({"question": "Is it?", "answer": 5}, "The answer is 5"),
        ({"objects": "dog"}, "The objects are 'dog'; give a list"),
        ({"samples": 1.5}, "samples is 1.5, but it must be a whole number"),
        ({"samples": math.nan}, "samples is nan"),
        ({"lambda_s": "x"}, "lambda_s is 'x'"),
    ],
)
def test_values_of_another_type_are_told_before_the_model_is_loaded(how, said):
    def load():
        raise AssertionError("the model is loaded only when the rest is right")

    with pytest.raises(InputError, match=said):
        score(PARK, **({"caption": CAPTION, "model": load} | how))

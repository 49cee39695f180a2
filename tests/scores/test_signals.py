"""Signals against numbers worked out by hand, and against plain forwards of real architectures."""

import zlib

import numpy as np
import pytest
import torch
from PIL import Image

import causal_attrib
from causal_attrib import choices
from causal_attrib.engine.gumbel import GumbelNoise
from causal_attrib.errors import InputError
from causal_attrib.scores.signals import SIGNALS, Readings, take
from causal_attrib.scores.signals.asking import ask
from causal_attrib.scores.signals.attention_ratio import attention_ratio
from causal_attrib.scores.signals.dependency import k3_estimate, kl_divergence
from causal_attrib.scores.signals.glsim import glsim
from causal_attrib.scores.signals.image_logit import image_logit_views
from causal_attrib.scores.signals.logit_lens import lens
from causal_attrib.scores.signals.naming import DRAWS, Namer, tokens_naming, views
from causal_attrib.scores.signals.spoilt import blackened, spoilt_pictures
from causal_attrib.vlm import Continuation
from causal_attrib.vlm.reference_image import reference_image
from causal_attrib.words.lexicon import read_lexicon
from causal_attrib.words.matcher import Matcher
from tests.tiny_models import tiny

PARK = "examples/park.png"
CAPTION = "a dog and a red frisbee on the grass at sunset"


@pytest.fixture(scope="module")
def vlm():
    return causal_attrib.load()


@pytest.fixture(scope="module")
def found(vlm):
    other = Image.open(PARK).transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    encoding = vlm.encode(PARK, None, CAPTION)
    return encoding, take(vlm, encoding, list(SIGNALS), other=other)


def test_kl_and_k3_by_hand():
    """p = (1/2, 1/4, 1/4), q = (1/4, 1/4, 1/2), the first one written: KL = (1/2) ln 2 - (1/4) ln 2, d = -ln 2."""
    p, q = torch.tensor([[0.5, 0.25, 0.25]]).log(), torch.tensor([[0.25, 0.25, 0.5]]).log()
    assert kl_divergence(p, q).item() == pytest.approx(0.25 * np.log(2), abs=1e-6)
    assert k3_estimate(p[:, 0], q[:, 0]).item() == pytest.approx(0.5 + np.log(2) - 1, abs=1e-6)
    # Clamped: e^d of a token that is impossible behind the picture, and one that is impossible without it.
    assert k3_estimate(torch.tensor([-50.0]), torch.tensor([0.0])).item() == 10
    assert k3_estimate(torch.tensor([0.0]), torch.tensor([-50.0])).item() == 10
    certain = torch.tensor([[0.0, -float("inf")]])
    assert kl_divergence(certain, certain).item() == 0


def test_lens_by_hand():
    head = torch.nn.Linear(2, 3, bias=False)
    head.weight.data = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    expected = np.exp(2) / (np.exp(2) + np.exp(1) + 1)
    assert lens(torch.tensor([[2.0, 1.0]]), head, torch.tensor([0]))[0, 0].item() == pytest.approx(expected, abs=1e-6)


def test_patches_are_black_or_untouched():
    picture = Image.fromarray(np.random.default_rng(0).integers(1, 255, (40, 30, 3), dtype=np.uint8))
    pixels, before = np.array(blackened(picture, np.random.default_rng(3))), np.array(picture)
    black = (pixels == 0).all(-1)
    assert (pixels[~black] == before[~black]).all()
    cells = [black[top : top + 14, left : left + 14] for top in (0, 14, 28) for left in (0, 14, 28)]
    assert all(cell.all() or not cell.any() for cell in cells)
    assert 0 < black.mean() < 1


def test_reference_pictures(vlm):
    picture = Image.open(PARK).convert("RGB")
    (blur,) = spoilt_pictures("blur", picture, colour=(1, 2, 3))
    assert (np.array(blur) == np.array(reference_image("blur", picture, (1, 2, 3)))).all()
    with pytest.raises(InputError, match="no reference 'fog'"):
        spoilt_pictures("fog", picture, colour=(1, 2, 3))
    with pytest.raises(InputError, match="none was given"):
        spoilt_pictures("other", picture, colour=(1, 2, 3))


def test_they_are_what_scoring_says(vlm, found):
    """Log-probability, entropy and evidence are those of `score` with verdicts; evidence there is of whole words."""
    encoding, signals = found
    attribution = causal_attrib.score(PARK, CAPTION, model=vlm, verdict=True)
    np.testing.assert_allclose(signals["logprob"], [token.logprob for token in attribution], atol=1e-4)
    np.testing.assert_allclose(signals["entropy"], [token.entropy for token in attribution], atol=1e-4)
    frisbee = [token.index for token in attribution["frisbee"]]
    assert signals["evidence"][frisbee].sum() == pytest.approx(attribution["frisbee"][0].evidence, abs=1e-3)
    np.testing.assert_allclose(signals["evidence"], signals["logprob"] - signals["prior"], atol=1e-5)


def test_ranges(found):
    encoding, signals = found
    assert all(len(values) == len(encoding.response_ids) and np.isfinite(values).all() for values in signals.values())
    assert (signals["logprob"] <= 0).all() and (signals["entropy"] >= 0).all() and (signals["margin"] >= 0).all()
    for name in ("kl", "kl_blur", "kl_patches", "kl_other", "k3", "k3_patches"):
        assert (signals[name] >= 0).all()
    assert signals["k3"].max() <= 10
    assert ((signals["logit_lens"] >= 0) & (signals["logit_lens"] <= 1)).all()
    assert (np.abs(signals["glsim"]) <= 1 + 1e-6).all()
    assert (signals["attention_ratio"] >= 0).all()


def test_a_lie_shows(found):
    encoding, signals = found
    false = len(encoding.response_ids) - 1  # sunset, in a park by day
    assert signals["evidence"].argmin() == signals["logprob"].argmin() == signals["rank"].argmax() == false


def test_the_lens_sees_what_is_there(vlm, found):
    encoding, signals = found
    tokens = [encoding.response[start:end] for start, end in encoding.spans]
    assert signals["logit_lens"][tokens.index(" dog")] > 0.5
    cat = take(vlm, vlm.encode(PARK, None, "a cat on the grass"), ["logit_lens"])["logit_lens"][1]
    assert cat < 0.1


def test_asking(vlm):
    seen, unseen = ask(vlm, PARK, "dog")
    absent, _ = ask(vlm, PARK, "bus")
    assert seen > 0.9 > 0.1 > absent
    assert 0 <= unseen <= 1


def test_forwards_are_shared(vlm):
    readings = Readings(vlm, vlm.encode(PARK, None, CAPTION))
    for name in ("logprob", "entropy", "margin", "rank", "evidence", "kl", "k3", "prior", "logit_lens", "glsim"):
        SIGNALS[name].read(readings)
    assert readings.forwards == 3  # the caption, the same behind one colour, hidden states


@pytest.mark.parametrize("kind", ["llava_clip_llama", "qwen2_vl", "idefics3", "gemma3"])
def test_hidden_states_and_attention_are_those_of_a_plain_forward(kind):
    vlm = tiny(kind)
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (60, 60, 3), dtype=np.uint8))
    encoding = vlm.encode(picture, None, "a dog on the grass")
    kernel = vlm.model.config.get_text_config(decoder=True)._attn_implementation
    readings = Readings(vlm, encoding)
    attention_LHTN = readings.attention_LHTN
    assert vlm.model.config.get_text_config(decoder=True)._attn_implementation == kernel
    ids = encoding.response_ids
    inputs = vlm.family.extend(encoding.prompt_inputs, [ids], vlm.pad_id)
    with torch.no_grad():
        plain = vlm.model(**inputs, output_hidden_states=True, use_cache=False)
    length = plain.logits.shape[1]
    torch.testing.assert_close(readings.hidden_LPD[-1], plain.hidden_states[-1][0].float())
    # The last state behind the output layer is the prediction itself, so the positions are right.
    (logits_TV,) = vlm.read(encoding, [Continuation(ids)])
    predicted = vlm.model.get_output_embeddings()(plain.hidden_states[-1][0, readings.predicts_T])
    scale = logits_TV[:-1].norm() / predicted.norm()  # some models scale or cap their logits
    torch.testing.assert_close(predicted.argmax(-1), logits_TV[:-1].argmax(-1))
    assert scale > 0 and readings.predicts_T[-1] == length - 2
    assert attention_LHTN.shape[2:] == (len(ids), len(encoding.layout.positions))
    assert ((attention_LHTN.sum(-1) >= 0) & (attention_LHTN.sum(-1) <= 1 + 1e-5)).all()
    assert np.isfinite(glsim(readings)).all() and np.isfinite(attention_ratio(readings)).all()


def test_a_model_that_reads_its_picture_elsewhere_says_so():
    vlm = tiny("blip")
    encoding = vlm.encode(Image.new("RGB", (60, 60), "red"), None, "a dog")
    with pytest.raises(InputError, match="not read its picture as tokens|hidden states"):
        take(vlm, encoding, ["logit_lens"])
    assert len(take(vlm, encoding, ["kl"])["kl"]) == len(encoding.response_ids)


def test_an_unknown_signal(vlm):
    with pytest.raises(InputError, match="no signal 'magic'"):
        take(vlm, vlm.encode(PARK, None, CAPTION), ["magic"])


@pytest.mark.parametrize(
    ("kind", "projector"),
    [("llava_clip_llama", "multi_modal_projector"), ("vision_encoder_decoder", "enc_to_dec_proj")],
)
def test_the_image_logit_is_the_output_layer_on_what_the_projector_gives(kind, projector):
    vlm = tiny(kind)
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (60, 60, 3), dtype=np.uint8))
    encoding = vlm.encode(picture, None, "a dog on the grass")
    (module,) = [one for name, one in vlm.model.named_modules() if name.split(".")[-1] == projector]
    largest = []
    for inputs in (encoding.prompt_inputs, encoding.reference_inputs):
        seen = []
        with module.register_forward_hook(lambda module, args, output, seen=seen: seen.append(output.detach())):
            vlm.family.logits(vlm.family.extend(inputs, [encoding.response_ids], vlm.pad_id), 1)
        logits_NV = vlm.model.get_output_embeddings()(seen[0].reshape(-1, seen[0].shape[-1]))
        largest.append(logits_NV[:, list(encoding.response_ids)].amax(0).detach().numpy())
    found = take(vlm, encoding, ["image_logit", "image_logit_gain"])
    np.testing.assert_allclose(found["image_logit"], largest[0], atol=1e-5)
    np.testing.assert_allclose(found["image_logit_gain"], largest[0] - largest[1], atol=1e-5)


def test_the_image_logit_of_views_is_the_mean_of_theirs(vlm):
    encoding = vlm.encode(PARK, None, CAPTION)
    said = "a dog and a cat and a bus"
    of_views = np.array(
        [
            take(vlm, behind, ["image_logit"])["image_logit"]
            for behind in (vlm.encode(view, None, said) for view in views(encoding.picture.pixels))
        ]
    )
    ids = vlm.encode(PARK, None, said).response_ids
    dog, cat, bus = (said.split().index(word) for word in ("dog", "cat", "bus"))
    found = image_logit_views(vlm, encoding, ["dog", "pet"], {"dog": [ids[dog]], "pet": [ids[dog], ids[cat], ids[bus]]})
    assert found["dog"] == pytest.approx(of_views[:, dog].mean(), abs=1e-4)
    assert found["pet"] == pytest.approx(of_views[:, [dog, cat, bus]].max(1).mean(), abs=1e-4)
    # No token names it, so that the first piece of its name does.
    assert image_logit_views(vlm, encoding, ["dog"], {})["dog"] == pytest.approx(found["dog"], abs=1e-4)


# -- naming -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def matcher():
    return Matcher(read_lexicon(), "repaired")


def test_tokens_that_name_an_object_by_themselves(matcher):
    words = ["dog", "puppies", "cat", "the", "s"]
    byte_level = {f"\u0120{word}": place for place, word in enumerate(words)} | {"cat": 5, "dog": 6}
    assert tokens_naming(byte_level, matcher) == {"dog": [0, 1], "cat": [2]}
    assert tokens_naming({"dog": 0, "##dog": 1, "a": 2, "!": 3, "hot dog": 4}, matcher) == {"dog": [0]}


def test_views():
    pixels_HWC = np.arange(40 * 20 * 3, dtype=np.uint8).reshape(40, 20, 3)
    itself, mirrored, upper, lower = (np.asarray(one) for one in views(Image.fromarray(pixels_HWC)))
    assert (itself == pixels_HWC).all() and (mirrored == pixels_HWC[:, ::-1]).all()
    assert (upper == pixels_HWC[:34, :17]).all() and (lower == pixels_HWC[6:, 3:][:, ::-1]).all()


def test_naming_is_the_mean_over_captions_of_their_chance_to_name_it(vlm, matcher):
    namer = Namer(vlm, matcher, longest=8)
    encoding = vlm.encode(PARK, None, CAPTION)
    found = namer.measure(encoding, ["dog", "bus", "fire hydrant"], "park")
    # By hand: captions from transformers' own `generate` under the same noise, and sums over every token for a dog.
    chances = []
    for number, view in enumerate(views(encoding.picture.pixels)):
        behind = vlm.encode(view, None, "a dog")
        noises = [GumbelNoise(0, zlib.crc32(f"park {number}".encode()), k) for k in range(DRAWS)]
        for ids in vlm.write(behind, Continuation(()), 8, noises):
            (logits_TV,) = vlm.read(behind, [Continuation(ids)])
            p_T = logits_TV.softmax(-1)[:, namer.tokens_of["dog"]].sum(-1).double()
            chances.append(1 - (1 - p_T).prod().item())
    assert found["dog"][0] == pytest.approx(np.log(np.mean(chances)), abs=1e-4)
    assert found["dog"][0] > -0.5 and found["bus"][0] < found["dog"][0] - 2  # a park without a bus
    assert found["dog"][0] - found["dog"][1] > 1  # and without the picture there is none either
    assert namer.measure(encoding, ["dog"], "park")["dog"] == found["dog"]
    # No token is a fire hydrant, and none of 4 * DRAWS captions names one.
    assert "fire hydrant" not in namer.tokens_of
    assert found["fire hydrant"][0] == pytest.approx(np.log(0.5 / (4 * DRAWS + 1)))


# -- beside scores ----------------------------------------------------------------------------------------------------


def test_the_names_that_need_no_torch_are_those_of_the_signals():
    assert tuple(SIGNALS) == choices.SIGNALS


def test_signals_beside_scores_are_those_of_take(vlm, found):
    encoding, signals = found
    scored = causal_attrib.score(PARK, CAPTION, model=vlm, signals="all", verdict=True)
    assert set(scored.signal_names) == {name for name in SIGNALS if not name.endswith("_other")}
    for name in scored.signal_names:
        np.testing.assert_allclose([token.signals[name] for token in scored], signals[name], atol=1e-4, err_msg=name)
    assert set(scored.signals["left_out"]) == {"evidence_other", "prior_other", "kl_other", "k3_other"}
    # One colour, the blur, three draws of patches, hidden states, attention, and image tokens behind the picture and
    # behind the colour; the caption itself was read already.
    assert scored.signals["forwards"] == 9
    plain = causal_attrib.score(PARK, CAPTION, model=vlm, verdict=True)
    assert scored.cost["forwards"] == plain.cost["forwards"] + 9 and plain.signals is None
    assert [token.necessity for token in scored] == [token.necessity for token in plain]
    # The evidence of a word is what its verdict says.
    frisbee = scored.words()["frisbee"][0]
    assert frisbee.signals["evidence"] == pytest.approx(frisbee.evidence, abs=1e-3)


def test_what_scoring_reads_costs_nothing_more(vlm):
    scored = causal_attrib.score(PARK, "a dog", model=vlm, signals=["rank", "margin"])
    assert scored.signals["forwards"] == 0 and scored.signals["left_out"] == {}


def test_signals_that_a_model_does_not_have():
    vlm, picture = tiny("blip"), Image.new("RGB", (60, 60), "red")
    with pytest.raises(InputError, match="There is no signal logit_lens here: .*not read its picture as tokens"):
        causal_attrib.score(picture, "a dog", model=vlm, signals="kl,logit_lens")
    scored = causal_attrib.score(picture, "a dog", model=vlm, signals="all")
    assert {"logit_lens", "glsim", "attention_ratio"} <= set(scored.signals["left_out"])
    assert "kl_blur" in scored.signal_names

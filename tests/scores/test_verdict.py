"""Verdicts on words: the rule, the calibration, and what of them is in a result."""

import io
import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

import causal_attrib
from causal_attrib import Attribution, InputError, Token, views
from causal_attrib.results.formats import FORMATS
from causal_attrib.results.tokens import COLUMNS, VERDICT_COLUMNS
from causal_attrib.scores import verdict
from causal_attrib.scores.verdict import (
    Calibration,
    independent_log_odds,
    judged,
    label,
    read_calibration,
    write_calibration,
)
from causal_attrib.views import drawing
from tests.conftest import FALSE, PARK
from tests.tiny_models import tiny

RATES = {name: {"words": 10, "wrong": None if name == "undecided" else 0.1} for name in verdict.VERDICTS}
# s(-1 - 2 * evidence + entropy - 3 * necessity)
WEIGHTS = {"evidence": -2.0, "entropy": 1.0, "necessity": -3.0}
MINE = Calibration("mine", "token", "colour", -1.0, WEIGHTS, {"data": "40 captions", "seed": None}, RATES)


@pytest.mark.parametrize(
    ("evidence", "logprob", "p_false", "expected"),
    [
        (0.7, -0.1, 0.1, "grounded"),  # the image doubles it: log 2 = 0.693
        (0.7, -5.0, 0.1, "grounded"),
        (0.7, -0.1, 0.5, "undecided"),  # image for it, calibration against it
        (-0.7, -3.0, 0.5, "against the image"),
        (-0.7, -3.0, 0.4, "undecided"),
        (-0.6, -3.0, 0.9, "undecided"),
        (0.0, -0.69, 0.1, "language prior"),  # probability 0.50 with and without
        (0.0, -0.70, 0.1, "undecided"),
        (0.6, -0.1, 0.1, "undecided"),  # 0.90 with the image, 0.497 without
        (-0.6, -0.65, 0.1, "language prior"),  # 0.52 and 0.95
    ],
)
def test_the_rule(evidence, logprob, p_false, expected):
    assert label(evidence, logprob, p_false) == expected


def attribution_of(*tokens, **others):
    rows, at = [], 0
    for index, (text, word, logprob, entropy, necessity) in enumerate(tokens):
        scores = {"logprob": logprob, "entropy": entropy, "necessity": necessity}
        rows.append(Token(index, text, index, word, at, at + len(text), **scores))
        at += len(text)
    return Attribution("".join(token[0] for token in tokens), rows, model={"id": "mine"}, **others)


def test_by_hand():
    """A word of two tokens: log-probabilities and entropies summed, necessities averaged, one verdict for both; an
    article claims nothing."""
    attribution = attribution_of(
        ("a", 0, -0.1, 0.2, 0.0), (" fris", 1, -1.0, 0.5, 0.3), ("bee", 1, -0.5, 0.1, 0.1), (" x", 2, -0.1, 0.0, None)
    )
    found = judged(attribution, [-0.1, -3.0, -1.0, -0.1], MINE)
    article, first, second, unscored = found.tokens
    assert (article.evidence, article.verdict, article.p_false) == (0.0, "no claim", None)
    assert first.evidence == pytest.approx(-1.5 - -4.0)
    # -1 - 2 * 2.5 + 0.6 - 3 * 0.2 = -6
    assert first.p_false == pytest.approx(1 / (1 + math.exp(6.0)))
    assert (first.evidence, first.p_false, first.verdict) == (second.evidence, second.p_false, second.verdict)
    assert (unscored.evidence, unscored.p_false, unscored.verdict) == (None, None, None)
    assert found.words()[1].verdict == "grounded"
    assert found.verdict["calibrated"] and found.verdict["calibration"]["level"] == "token"
    assert "10.00 % of those called grounded are false" in found.verdict["note"]
    assert "25.0 % are undecided" in found.verdict["note"]
    bars = {"evidence_nats": math.log(2), "against_nats": math.log(2), "p_false": 0.5, "likely": 0.5}
    assert found.verdict["thresholds"] == bars
    # One claim: the caption is as probably false as its word.
    assert (found.verdict["claims"], found.verdict["against"]) == (1, 0)
    assert found.verdict["p_false"] == pytest.approx(first.p_false, rel=1e-3)


def test_the_probability_of_a_caption_by_hand():
    """Independent: 1 - .9 * .8 = .28. Half so: 1 - .8 * .9^.5. Not at all: .2, the likeliest false claim."""
    p_N = np.array([0.1, 0.2])
    for others, expected in ((1.0, 0.28), (0.5, 1 - 0.8 * 0.9**0.5), (0.0, 0.2)):
        assert replace(MINE, caption={"others": others}).caption_p_false(p_N) == pytest.approx(expected)
    assert MINE.caption_p_false(p_N) == pytest.approx(0.28)
    assert MINE.caption_p_false(np.zeros(0)) == 0.0 == MINE.caption_p_false(np.zeros(3))
    assert MINE.caption_p_false(np.array([1.0, 1.0])) == 1.0


def test_a_caption_mended_as_in_files_of_before():
    """Log-odds log(.28 / .72) = -.944 of independent claims, mended by 0.5 + 3 (x + 1): s(0.669) = .661; mended by
    0.5 + 2 x it were s(-1.389) = .1996, less than the likelier claim."""
    p_N = np.array([0.1, 0.2])
    assert independent_log_odds(p_N) == pytest.approx(math.log(0.28 / 0.72))
    assert math.isfinite(independent_log_odds(np.zeros(3)))
    expected = 1 / (1 + math.exp(-(3.5 + 3 * math.log(0.28 / 0.72))))
    assert replace(MINE, caption={"intercept": 3.5, "slope": 3.0}).caption_p_false(p_N) == pytest.approx(expected)
    assert replace(MINE, caption={"intercept": 0.5, "slope": 2.0}).caption_p_false(p_N) == 0.2


@pytest.mark.parametrize("caption", [{}, {"others": 0.3}, {"intercept": 0.29, "slope": 0.71}])
def test_a_caption_is_as_probably_false_as_its_claims_at_least_and_rises_with_each(caption):
    mine, rng = replace(MINE, caption=caption), np.random.default_rng(0)
    for _ in range(200):
        p_N = rng.beta(0.2, 0.5, size=rng.integers(1, 9))
        found, raised_N = mine.caption_p_false(p_N), p_N.copy()
        raised_N[0] += (1 - raised_N[0]) * rng.random()
        assert p_N.max() <= found <= 1
        assert mine.caption_p_false(raised_N) >= found
        # Nor can it be likelier that one is false than all of their probabilities together.
        assert "slope" in caption or found <= p_N.sum() + 1e-9


def test_a_claim_is_judged_where_it_is_first_made():
    """The second "cow" is unlikelier with the picture than without; it claims what the first one does."""
    found = judged(
        attribution_of(("cow", 0, -0.1, 0.0, 0.1), (".", 1, 0.0, 0.0, 0.0), (" Cow", 2, -9.0, 0.0, 0.1)),
        [-4.0, 0.0, -0.1],
        MINE,
    )
    first, _, again = found.tokens
    assert (first.evidence, again.evidence) == (pytest.approx(3.9), pytest.approx(-8.9))
    assert first.verdict == again.verdict == "grounded" and first.p_false == again.p_false
    # Two words claim something, and one thing is claimed.
    assert found.verdict["claims"] == 2 and found.verdict["p_false"] == first.p_false


def test_what_is_denied_is_not_judged():
    """ "no cow": the picture speaks for the cow, and so against the caption."""
    cow = ("cow", 0, -0.1, 0.0, 0.1)
    assert judged(attribution_of(cow), [-4.0], MINE).verdict["calibrated"]
    found = judged(attribution_of(("no", 0, -5.0, 0.0, 0.0), (" cow", 1, -0.1, 0.0, 0.1)), [-1.0, -4.0], MINE)
    assert found.tokens[1].verdict == "no claim" and found.tokens[1].p_false is None
    assert (found.verdict["claims"], found.verdict["p_false"], found.verdict["calibrated"]) == (0, 0.0, False)
    assert "says what is not there" in found.verdict["note"]


@pytest.mark.parametrize(("evidence", "unknown"), [(-6.9, "undecided"), (-6.91, "against the image")])
def test_where_no_rate_is_stated_it_takes_a_thousandth_to_be_against_the_image(evidence, unknown):
    """1/1000 is e^-6.908."""
    mine = replace(MINE, weights={"evidence": -2.0})
    cow = attribution_of(("cow", 0, -8.0, 0.0, 0.1))
    prior_T = [-8.0 - evidence]
    assert judged(cow, prior_T, mine).tokens[0].verdict == "against the image"
    for found in (judged(cow, prior_T, mine, known=False), judged(cow, prior_T, replace(mine, model="other"))):
        assert found.tokens[0].verdict == unknown and found.tokens[0].p_false > 0.99
        assert found.verdict["against"] == (unknown != "undecided")
        assert "1,000 times less likely" in found.verdict["note"]


def test_a_caption_unlike_those_of_the_fit_gets_no_rate():
    """Two features of unit variance about 0 (true) and 10 (false): the distance of (3, 0) is 9, of (10, 11) is 1."""
    spread = {
        "true": {"mean": [0.0, 0.0], "precision": [[1.0, 0.0], [0.0, 1.0]]},
        "false": {"mean": [10.0, 10.0], "precision": [[1.0, 0.0], [0.0, 1.0]]},
        "threshold": 5.0,
    }
    mine = replace(MINE, weights={"evidence": -2.0, "entropy": 1.0}, spread=spread)
    assert mine.distance(np.array([[3.0, 0.0], [10.0, 11.0]])) == pytest.approx((9 + 1) / 2)
    inside, outside = (
        judged(attribution_of(("cow", 0, logprob, 0.0, 0.1)), [-4.0], mine).verdict for logprob in (-3.0, -0.5)
    )
    assert inside["calibrated"] and inside["outside"]["distance"] == pytest.approx(1.0)
    assert outside["outside"] == {"distance": pytest.approx(3.5**2), "threshold": 5.0, "false_alarm": 0.01}
    assert outside["calibrated"] is False
    assert outside["note"].startswith("outside of what was calibrated: this caption is unlike 40 captions")
    assert "%" not in outside["note"]


@pytest.mark.parametrize("word", ["on", "the", "there", "is", ",", "</think>"])
def test_function_words_claim_nothing(word):
    found = judged(attribution_of((word, 0, -9.0, 0.2, -0.4)), [-0.1], MINE)
    assert found.tokens[0].verdict == "no claim" and found.tokens[0].p_false is None
    assert found.verdict["p_false"] == 0.0 and found.verdict["claims"] == 0


def test_features_in_nats():
    """r = .5 of ten tokens that falls to .25: ten times the difference of the log-odds, 10 log 3."""
    word = attribution_of(("cow", 0, -1.0, 0.5, 0.25)).tokens
    found = verdict.features(word, [-3.0], {"value": 0.5, "scale": 10})
    assert found == {
        "evidence": 2.0,
        "logprob": -1.0,
        "entropy": 0.5,
        "effect": pytest.approx(10 * math.log(3)),
        "necessity": 0.25,
        "position": 0.0,
    }
    assert verdict.features(word, [-3.0], {"value": 0.5})["effect"] == 0.0  # an outcome without a unit


def test_far_off_evidence_is_a_probability_all_the_same():
    assert MINE.p_false(np.array([[-1e4, 0.0, 0.0], [1e4, 0.0, 0.0]])).tolist() == [1.0, 0.0]


@pytest.mark.parametrize("engine", ["plain", "packed"])
def test_evidence_is_what_two_forwards_say(bundled, engine):
    """The picture and a picture of the processor's mean colour, through the processor and the model by hand."""
    vlm = bundled
    attribution = causal_attrib.score(PARK, FALSE, model=vlm, engine=engine, verdict=True)
    mean = vlm.processor.image_processor.image_mean
    with Image.open(PARK) as opened:
        picture = opened.convert("RGB")
    reference = Image.new("RGB", picture.size, tuple(round(255 * channel) for channel in mean))
    ids = [token.id for token in attribution]
    logprob = []
    for shown in (picture, reference):
        inputs = vlm.processor(
            text="<s>USER: <image>\nDescribe this image. ASSISTANT:",
            images=shown,
            return_tensors="pt",
            add_special_tokens=False,
        )
        row = torch.cat([inputs["input_ids"], torch.tensor([ids])], dim=1)
        with torch.no_grad():
            logits = vlm.model(input_ids=row, pixel_values=inputs["pixel_values"]).logits[0]
        behind = logits[-len(ids) - 1 : -1].log_softmax(-1)
        logprob.append(behind[torch.arange(len(ids)), ids].double().numpy())
    gain_T = logprob[0] - logprob[1]
    frame = attribution.to_frame()
    expected = frame.word.map(lambda word: gain_T[frame.word == word].sum())
    np.testing.assert_allclose(frame.evidence, expected, atol=1e-4)


def test_it_takes_one_forward_more_at_most(bundled):
    """The caption behind the reference image; grounding reads that image anyway."""
    for engine in ("packed", "plain"):
        without, with_verdict = (
            causal_attrib.score(PARK, "a dog", model=bundled, engine=engine, verdict=asked).cost["forwards"]
            for asked in (False, True)
        )
        assert with_verdict - without == 1


@pytest.mark.parametrize("level", ["token", "word"])
def test_a_false_colour_has_the_highest_p_false(bundled, level):
    caption = "a dog and a blue frisbee on the grass at noon"
    attribution = causal_attrib.score(PARK, caption, model=bundled, level=level, verdict=True)
    by_word = {token.text.strip(): token for token in attribution.words()}
    assert max(by_word.values(), key=lambda token: token.p_false or 0.0).text == " blue"
    assert by_word["blue"].p_false > 0.9 and by_word["blue"].verdict == "against the image"
    assert {by_word[word].verdict for word in ("dog", "frisbee", "grass", "noon")} == {"grounded"}
    assert {by_word[word].verdict for word in ("on", "the", "at", "and")} == {"no claim"}
    assert attribution.verdict["against"] == 1 and attribution.verdict["p_false"] > 0.9
    scores = causal_attrib.score(PARK, caption, model=bundled, level=level)
    assert [token.necessity for token in scores] == [token.necessity for token in attribution]


def test_the_second_command_of_the_readme_marks_no_true_word(bundled):
    """ "on" is unlikely, since the model would have named the frisbee first; it claims nothing."""
    found = causal_attrib.score(PARK, "a dog on the grass", model=bundled, verdict=True)
    assert [token.verdict for token in found] == ["no claim", "grounded", "no claim", "no claim", "grounded"]
    assert found["on"][0].necessity < -0.1 and not drawing.contradicted(found)
    assert found.verdict["calibrated"] and found.verdict["against"] == 0 and found.verdict["p_false"] < 0.05


def test_another_model_is_told_that_it_is_not_calibrated():
    vlm = tiny("llava_clip_llama")
    attribution = causal_attrib.score(PARK, "a dog", model=vlm, verdict=True)
    assert attribution.verdict["calibrated"] is False
    assert "comes from the model bundled" in attribution.verdict["note"]
    assert f"not calibrated for {vlm.name}" in attribution.verdict["note"]
    assert 0 <= attribution["dog"][0].p_false <= 1


def test_a_calibration_of_ones_own(bundled, tmp_path):
    path = tmp_path / "mine.json"
    write_calibration(path, [MINE])
    assert read_calibration(path, "token") == MINE
    own = causal_attrib.score(PARK, "a dog", model=bundled, verdict=True, calibration=path)
    assert own.verdict["calibration"]["intercept"] == -1.0 and own.verdict["calibrated"] is False
    dog = own["dog"].tokens[0]
    score = -1.0 - 2.0 * dog.evidence + dog.entropy - 3.0 * dog.necessity
    assert dog.p_false == pytest.approx(1 / (1 + math.exp(-score)), rel=1e-4)


# -- files and views --


JUDGED = judged(attribution_of(("a", 0, -0.1, 0.2, 0.0), (" cow", 1, -7.0, 0.5, -0.3), (".", 2, -1.0, 0.1, None)),
                [-0.1, -3.0, -1.0], MINE)  # fmt: skip


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_keeps_verdicts(format, tmp_path):
    path = tmp_path / f"judged.{format}"
    JUDGED.save(path)
    assert Attribution.load(path) == JUDGED


def test_columns_are_there_only_when_asked_for(tmp_path):
    plain = attribution_of(("a", 0, -0.1, 0.2, 0.0))
    assert tuple(plain.to_frame().columns) == tuple(plain.to_dict()["tokens"][0]) == COLUMNS
    assert "verdict" not in plain.to_dict()
    assert tuple(JUDGED.to_frame().columns) == tuple(JUDGED.to_dict()["tokens"][0]) == COLUMNS + VERDICT_COLUMNS
    assert JUDGED.to_dict()["verdict"]["note"] in JUDGED.to_bytes("csv").decode()


def test_a_score_that_is_no_number_is_refused():
    with pytest.raises(InputError, match="evidence of token 0"):
        Attribution("a", [Token(0, "a", 1, 0, 0, 1, evidence=math.nan)])


def test_the_table_and_the_report_show_them():
    from rich.console import Console

    console = Console(width=120, record=True, file=io.StringIO())
    console.print(views.table(JUDGED))
    table = console.export_text()
    assert "p(false)" in table and "against the image" in table and JUDGED.verdict["note"][:40] in table
    report = JUDGED.to_bytes("html").decode()
    assert "against the image</td>" in report and ">verdict</th>" in report
    console.print(views.table(attribution_of(("a", 0, -0.1, 0.2, 0.0))))
    assert "p(false)" not in console.export_text()
    assert "verdict</th>" not in attribution_of(("a", 0, -0.1, 0.2, 0.0)).to_bytes("html").decode()


# -- what is refused --


def test_verdicts_need_what_they_are_calibrated_on(bundled):
    calibrated = "under the outcome grounding with the mask zero"
    with pytest.raises(InputError, match=f"{calibrated}, not under yesno with zero"):
        causal_attrib.score(PARK, "a dog", model=bundled, outcome="yesno", verdict=True)
    with pytest.raises(InputError, match="not under grounding with mean"):
        causal_attrib.score(PARK, "a dog", model=bundled, mask="mean", verdict=True)
    with pytest.raises(InputError, match="not under likelihood"):
        causal_attrib.score(PARK, "a dog", model=bundled, question="Is it day?", answer="yes", verdict=True)
    with pytest.raises(InputError, match="add --verdict"):
        causal_attrib.score(PARK, "a dog", model=bundled, calibration="x.json")


def rates_with(**rate):
    return dict.fromkeys(verdict.VERDICTS, rate)


def changed(**fields):
    record = json.loads(verdict.BUNDLED.read_text())
    record["calibrations"][0].update(fields)
    return json.dumps(record)


def test_files_of_the_schema_before_are_read(tmp_path):
    rates = {"words": 10, "wrong": 0.1}
    one = {"model": "m", "level": "token", "intercept": 1.0, "evidence": -2.0, "entropy": 3.0, "necessity": -4.0}
    one |= {"fitted": {"data": "d", "seed": 1}, "error_rates": dict.fromkeys(verdict.VERDICTS, rates)}
    path = tmp_path / "old.json"
    path.write_text(json.dumps({"schema": 1, "calibrations": [one]}))
    calibration = read_calibration(path, "token")
    assert calibration.weights == {"evidence": -2.0, "entropy": 3.0, "necessity": -4.0}
    assert calibration.p_false(np.array([[1.0, 1.0, 1.0]]))[0] == pytest.approx(1 / (1 + math.exp(2.0)))
    with pytest.raises(InputError, match="not for pictures held against blur; fit one"):
        read_calibration(path, "token", "blur")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "is no calibration of verdicts"),
        ("[]", "is no calibration of verdicts"),
        ('{"schema": 3, "calibrations": []}', "is no calibration of verdicts"),
        ('{"schema": 2, "calibrations": []}', "is no calibration of verdicts"),
        (changed(error_rates=rates_with(words=3, wrong=None)), "is no calibration of verdicts"),
        (changed(error_rates=rates_with(words=3, wrong="x")), "is no calibration of verdicts"),
        (changed(error_rates=rates_with(words=3)), "is no calibration of verdicts"),
        (changed(weights={"evidence": "much"}), "is no calibration of verdicts"),
        (changed(weights={"evidence": float("nan")}), "is no calibration of verdicts"),
        (changed(weights={"magic": 1.0}), "is no calibration of verdicts"),
        (changed(intercept=float("inf")), "is no calibration of verdicts"),
        (changed(spread={"true": {}}), "is no calibration of verdicts"),
        (changed(error_rates={}), "is no calibration of verdicts"),
        (changed(more=1), "is no calibration of verdicts"),
    ],
)
def test_files_that_are_no_calibration(text, told, tmp_path):
    path = tmp_path / "bad.json"
    path.write_text(text)
    with pytest.raises(InputError, match=told):
        read_calibration(path, "token")


def test_a_missing_file(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_calibration(tmp_path / "none.json", "token")


@pytest.mark.parametrize("level", ["token", "word"])
@pytest.mark.parametrize("against", ["colour", "blur"])
def test_the_bundled_calibration_says_where_it_comes_from(level, against):
    calibration = read_calibration(None, level, against)
    assert (calibration.model, calibration.against) == ("bundled", against)
    # What the image speaks for is less likely false, and so is what is likely behind it.
    assert calibration.weights["evidence"] + calibration.weights["logprob"] < 0
    assert {"data", "seed", "captions", "words", "false_words", "date"} <= calibration.fitted.keys()
    assert sum(rate["words"] for rate in calibration.error_rates.values()) == calibration.fitted["words"]
    assert 0 <= calibration.caption["others"] <= 1 and calibration.spread["threshold"] > 0

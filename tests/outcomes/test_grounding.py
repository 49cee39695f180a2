"""Grounding over content words only: what a caption leaves out counts against no word that claims nothing."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import causal_attrib
from causal_attrib import InputError
from causal_attrib.interventions import Keep, Mask, edit
from causal_attrib.outcomes import Grounding
from causal_attrib.outcomes.base import Reading
from causal_attrib.scores.signals import take
from causal_attrib.scores.verdict import read_calibration, write_calibration
from causal_attrib.vlm.text import decode

# True, and worded as the bundled model never says it: it would have named the frisbee before the place.
CAPTION = "a dog on the grass"
CONTENT = [1, 4]


def s(x):
    return 1 / (1 + np.exp(-x))


def test_the_places_of_what_is_visible():
    assert edit((5, 5, 7, 8), Mask((1,), "delete"), 0).places == (0, 2, 3)
    assert edit((5, 5, 7, 8), Mask((1, 2)), 0).places == (0, 3)
    assert edit((5, 5, 7, 8), Mask((0,), "token"), 9).places == (1, 2, 3)
    assert edit((5, 5, 7, 8), Keep(2), 0).places == (0, 1)


@pytest.mark.parametrize("engine", ["plain", "packed"])
def test_content_words_by_hand(bundled, park, engine):
    """r = s(mean evidence of "dog" and "grass"); of the prefix "a dog" s(evidence of dog / 2)."""
    evidence = take(bundled, bundled.encode(park, None, CAPTION), ["evidence"])["evidence"]
    found = causal_attrib.score(park, CAPTION, model=bundled, outcome_words="content", engine=engine)
    assert found.outcome["value"] == pytest.approx(s(evidence[CONTENT].sum() / 2), abs=1e-4)
    assert (found.outcome["scale"], found.outcome["words"]) == (2, "content")
    assert found[1].sufficiency == pytest.approx(s(evidence[1] / 2) - 0.5, abs=1e-4)
    # A function word's own likelihood is nothing to the outcome, before it or behind it.
    assert [found[t].sufficiency for t in (0, 2, 3)] == pytest.approx([0.0] * 3, abs=1e-6)


@pytest.mark.parametrize("mask", ["zero", "token", "delete"])
def test_engines_agree_however_words_are_hidden(bundled, park, mask):
    plain, packed = (
        causal_attrib.score(park, CAPTION, model=bundled, outcome_words="content", engine=engine, mask=mask)
        for engine in ("plain", "packed")
    )
    np.testing.assert_allclose(
        [token.necessity for token in plain], [token.necessity for token in packed], rtol=0, atol=1e-4
    )


def test_a_left_out_object_does_not_count_against_the_next_word(bundled, park):
    """The model expects the frisbee, so "on" is unlikely: over all words that is held against "on" itself."""
    every, content = (
        causal_attrib.score(park, CAPTION, model=bundled, outcome_words=words) for words in ("all", "content")
    )
    assert every["on"][0].necessity < -0.1 and every.outcome["value"] < 0.5
    assert abs(content["on"][0].necessity) < 0.02 and content.outcome["value"] > 0.9
    assert content["dog"][0].necessity > 0.1


def test_a_caption_that_claims_nothing(bundled, park):
    found = causal_attrib.score(park, "there is the", model=bundled, outcome_words="content")
    assert found.outcome["value"] == 0.5 and not any(token.necessity for token in found)


def test_content_words_of_a_completion_are_its_own(bundled, park):
    """Behind "a dog" was written " and a red frisbee": dog, red and frisbee count, over T = 2 of the caption."""
    encoding = bundled.encode(park, None, CAPTION)
    written = bundled.encode(park, None, "a dog and a red frisbee").response_ids
    completed = replace(edit(encoding.response_ids, Keep(2), 0), ids=written, completed=True)
    texts = [decode(bundled.tokenizer, (id_,)).strip() for id_ in written]
    seen_T = torch.linspace(-1, 0, len(written))
    seen, unseen = (
        Reading(logprob_T, torch.empty(0), completed.places, written)
        for logprob_T in (seen_T, torch.zeros(len(written)))
    )
    counted = [seen_T[t].item() for t, text in enumerate(texts) if text not in ("a", "and")]
    assert len(counted) >= 3
    outcome = Grounding(words="content", tokenizer=bundled.tokenizer)
    assert outcome((seen, unseen), encoding) == pytest.approx(s(sum(counted) / 2), abs=1e-6)


def test_content_words_with_samples(bundled, park):
    asked = {"model": bundled, "outcome_words": "content", "samples": 2, "tokens": "content"}
    plain, packed = (causal_attrib.score(park, CAPTION, engine=engine, **asked) for engine in ("plain", "packed"))
    for found in (plain, packed):
        assert found["dog"][0].sufficiency_se is not None and found["dog"][0].sufficiency > 0
    np.testing.assert_allclose(
        [plain[t].sufficiency for t in CONTENT], [packed[t].sufficiency for t in CONTENT], rtol=0, atol=1e-4
    )


def test_a_verdict_is_the_same_whatever_words_the_outcome_looks_at(bundled, park):
    every, content = (
        causal_attrib.score(park, CAPTION, model=bundled, outcome_words=words, verdict=True)
        for words in ("all", "content")
    )
    assert every["on"][0].necessity != pytest.approx(content["on"][0].necessity, abs=1e-3)
    assert [token.verdict for token in every] == [token.verdict for token in content]
    assert content["dog"][0].p_false == pytest.approx(every["dog"][0].p_false, rel=1e-3)
    assert content.verdict["calibrated"]


def test_a_calibration_that_reads_necessity_is_of_all_words(bundled, park, tmp_path):
    calibration = read_calibration(None, "token")
    path = tmp_path / "mine.json"
    write_calibration(path, [replace(calibration, weights={"evidence": -1.0, "effect": -0.2}, spread={})])
    with pytest.raises(InputError, match="reads the necessity of words under the outcome of all words"):
        causal_attrib.score(park, CAPTION, model=bundled, outcome_words="content", verdict=True, calibration=path)

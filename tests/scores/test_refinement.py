"""Sentences first, then the words of those that matter; and scores of chosen units alone."""

import json

import numpy as np
import pytest

import causal_attrib
from causal_attrib import Attribution, InputError
from causal_attrib.engine import PlainEngine
from causal_attrib.interventions import Mask, Whole
from causal_attrib.outcomes import Grounding
from causal_attrib.scores import refinement
from causal_attrib.scores.refinement import Refinement
from causal_attrib.scores.selection import selection_of
from causal_attrib.scores.settings import Settings
from causal_attrib.words.claims import is_content
from causal_attrib.words.sentences import sentence_of_each
from tests.conftest import PARK

LONG = "A dog is on the grass. There is a red frisbee at sunset. A man and a cat sit on a bench."
SCORES = ("sufficiency", "necessity", "causal_completeness")


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("A dog. A cat.", ["A dog.", " A cat."]),
        ('He said "a dog." Then left!', ['He said "a dog."', " Then left!"]),
        ("e.g. a dog at 3.5 m. Fine", ["e.g. a dog at 3.5 m.", " Fine"]),
        ("1. A dog\n2. A cat\n\nBoth", ["1. A dog\n", "2. A cat\n\n", "Both"]),
        ("一只狗。两只猫。", ["一只狗。", "两只猫。"]),
        ("no end", ["no end"]),
    ],
)
def test_where_sentences_end(text, sentences):
    each = sentence_of_each(text, tuple((i, i + 1) for i in range(len(text))))
    found = {}
    for letter, sentence in zip(text, each, strict=True):
        found[sentence] = found.get(sentence, "") + letter
    assert [part.strip() for part in found.values()] == [part.strip() for part in sentences]


def by_worth(parts, worth_of_token):
    for part in parts:
        part.worth = sum(worth_of_token.get(t, 0.0) for t in part.tokens)


def test_a_round_costs_no_more_than_its_forwards_and_finds_what_matters():
    """1,000 tokens in 50 sentences, of which two tokens matter: both are found, in 6 rounds of 6 forwards at most."""
    length, prompt = 1000, 600
    sentences = [tuple(range(at, at + 20)) for at in range(0, length, 20)]
    budget = refinement.FORWARDS * (prompt + length)
    parts_of_text = Refinement(sentences, [(t,) for t in range(length)], lambda unit: length - unit[0], budget)
    worth = {333: 5.0, 871: 3.0}
    while parts := parts_of_text.next_round(0.1):
        assert 0 < sum(length - part.tokens[0] for part in parts) <= budget
        by_worth(parts, worth)
    assert parts_of_text.rounds <= refinement.ROUNDS
    assert {word.tokens[0] for word in parts_of_text.words if word.worth} == set(worth)
    first = [part for part in parts_of_text.measured if part.kind == "sentences"]
    assert sorted(t for part in first for t in part.tokens) == list(range(length))
    assert all(part.worth == 0 for part in parts_of_text.closed)


def test_what_is_opened_has_the_scores_of_its_words(bundled):
    auto, words, sentences = (
        causal_attrib.score(PARK, LONG, model=bundled, level=level) for level in ("auto", "word", "sentence")
    )
    assert auto.refinement["below"] < refinement.NOTHING_NATS and auto.refinement["unit"] == "nats"
    scored = [token.index for token in auto if token.necessity is not None]
    closed = [part for part in auto.refinement["parts"] if not part["opened"]]
    left_out = {t for part in closed for t in range(part["first"], part["last"] + 1)}
    assert set(scored) == set(range(len(auto))) - left_out and len(scored) > len(auto) / 2
    for t in scored:
        for name in SCORES:
            assert getattr(auto[t], name) == pytest.approx(getattr(words[t], name), abs=1e-6)
    assert [part["kind"] for part in auto.refinement["parts"]] == ["sentence"] * 3
    for part in auto.refinement["parts"]:
        token = sentences[part["first"]]
        assert part["necessity"] == pytest.approx(token.necessity, abs=1e-6)
        assert part["sufficiency"] == pytest.approx(token.sufficiency, abs=1e-6)
        assert LONG[part["char_start"] : part["char_end"]].strip().endswith(".")


def test_what_is_not_opened_is_bounded_and_has_no_score(bundled, monkeypatch, tmp_path):
    monkeypatch.setattr(refinement, "FORWARDS", 1)
    monkeypatch.setattr(refinement, "ROUNDS", 2)
    monkeypatch.setattr("causal_attrib.scores.caption_task.FORWARDS", 1)
    auto = causal_attrib.score(PARK, LONG, model=bundled, level="auto")
    closed = [part for part in auto.refinement["parts"] if not part["opened"]]
    assert closed and any(part["opened"] for part in auto.refinement["parts"])
    hidden = sorted({t for part in closed for t in range(part["first"], part["last"] + 1)})
    assert all(getattr(auto[t], name) is None for t in hidden for name in SCORES)
    # By hand: each part hidden as a whole, and all of them at once, in ordinary forwards.
    encoding = bundled.encode(PARK, response=LONG)
    masks = [Mask(tuple(range(part["first"], part["last"] + 1))) for part in closed]
    r = PlainEngine(bundled).run(encoding, [Whole(), *masks, Mask(tuple(hidden))], Grounding())[:, 0]
    logit = np.log(r) - np.log1p(-r)
    nats = len(encoding.response_ids) * np.abs(logit[0] - logit[1:])
    assert auto.refinement["below"] == pytest.approx(nats[:-1].max(), abs=1e-4)
    assert auto.refinement["together"] == pytest.approx(nats[-1], abs=1e-4)
    for format in ("json", "jsonl", "csv", "parquet", "html"):
        auto.save(tmp_path / f"a.{format}")
        assert Attribution.load(tmp_path / f"a.{format}") == auto
    page = (tmp_path / "a.html").read_text()
    assert "Sentences</h2>" in page and "What was not opened has an effect of" in page
    record = json.loads((tmp_path / "a.json").read_text())
    record["refinement"]["parts"][0]["char_end"] = 10**6
    with pytest.raises(InputError, match="refinement.parts"):
        Attribution.from_dict(record)


@pytest.mark.parametrize("tokens", ["content", "top-entropy:3", "top-logprob-gap", 4])
def test_chosen_units_have_their_scores_and_others_none(bundled, tokens):
    some, every = (
        causal_attrib.score(PARK, LONG, model=bundled, level="word", tokens=which) for which in (tokens, "all")
    )
    words = every.words()
    kept = {word.word for word in some.words() if word.necessity is not None}
    for one, other in zip(some, every, strict=True):
        for name in SCORES:
            expected = pytest.approx(getattr(other, name), abs=1e-6) if one.word in kept else None
            assert getattr(one, name) == expected
    if tokens == "content":
        assert kept == {word.word for word in words if is_content(word.text.strip())}
    elif tokens == "top-entropy:3":
        peak = {word.word: max(t.entropy for t in every if t.word == word.word) for word in words}
        assert kept == set(sorted(peak, key=peak.get, reverse=True)[:3])
    else:
        assert len(kept) == (4 if tokens == 4 else -(-len(words) // 5))
    assert some.cost["positions"] < every.cost["positions"]


def test_the_gap_is_that_to_the_reference_image():
    choose = selection_of("2").choose
    logprob_T, prior_T = np.array([-1.0, -9.0, -2.0, -0.5]), np.array([-1.5, -9.0, -1.0, -0.6])
    assert choose(None, [(0,), (1,), (2,), (3,)], logprob_T=logprob_T, prior_T=prior_T) == ((0,), (2,))


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"tokens": "some"}, "no choice of tokens 'some'"),
        ({"tokens": "0"}, "no choice of tokens '0'"),
        ({"tokens": "content:3"}, "no choice of tokens"),
        ({"level": "sentence", "tokens": "content"}, "Sentences are all scored"),
        ({"level": "auto", "verdict": True}, "A verdict needs the score of every word"),
        ({"tokens": "content", "verdict": True}, "A verdict needs the score of every word"),
    ],
)
def test_settings_that_cannot_be(wrong, told):
    with pytest.raises(InputError, match=told):
        Settings(**wrong)

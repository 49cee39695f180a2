"""Two files compared: every number can be worked out by hand."""

from dataclasses import replace

import pytest

from causal_attrib import Attribution, InputError, Token
from causal_attrib.batch.diff import diff
from causal_attrib.results import caption_files
from causal_attrib.results.caption_files import Scored

SETTINGS = {"against": "colour", "mask": "zero", "level": "token", "estimator": "paired", "samples": 0}


def attribution(caption, image, necessity, verdicts=None, **settings):
    """One token per word."""
    tokens, start = [], 0
    for index, (word, value) in enumerate(zip(caption.split(), necessity, strict=True)):
        text = word if index == 0 else f" {word}"
        label = {"verdict": verdicts[index], "evidence": 10 * value, "p_false": 0.5} if verdicts else {}
        tokens.append(Token(index, text, index, index, start, start + len(text), necessity=value, **label))
        start += len(text)
    return Attribution(
        caption=caption,
        tokens=tokens,
        image={"path": f"{image}.png", "sha256": image},
        outcome={"name": "grounding"},
        settings=SETTINGS | settings,
        verdict={"note": "by hand"} if verdicts else None,
    )


@pytest.fixture
def written(tmp_path):
    def write(name, attributions):
        path = tmp_path / name
        caption_files.write(
            path,
            [
                Scored(str(number), {"row": number, "rows": len(attributions), "input": "", "flags": ""}, one.to_dict())
                for number, one in enumerate(attributions)
            ],
        )
        return path

    return write


FIRST = [
    attribution("a dog", "p", [0.0, 0.2]),
    attribution("Dog. cat", "q", [0.4, 0.1]),
    attribution("a cat", "p", [0.0, 0.5]),
]
SECOND = [
    attribution("a dog", "p", [0.1, 0.6]),
    attribution("Dog. cat", "q", [0.5, 0.1]),
    attribution("a cat", "p", [0.1, 0.6]),
]


@pytest.mark.parametrize("format", caption_files.FORMATS)
def test_changes_by_hand(written, format):
    found = diff(written(f"a.{format}", FIRST), written(f"b.{format}", SECOND))
    assert (found.captions, found.images, found.words) == (3, 2, 6)
    [necessity] = found.measures
    assert (necessity.measure, necessity.words) == ("necessity", 6)
    assert necessity.first == pytest.approx((0.2 + 0.4 + 0.1 + 0.5) / 6)
    assert necessity.second == pytest.approx((0.1 + 0.6 + 0.5 + 0.1 + 0.1 + 0.6) / 6)
    # p changes by .1 + .4 + .1 + .1 over 4 words, q by .1 over 2. A resample of two images is pp, pq, qp or qq, so that
    # the interval runs from q's mean to p's.
    assert necessity.change.value == pytest.approx(0.8 / 6)
    assert (necessity.change.low, necessity.change.high) == (pytest.approx(0.1 / 2), pytest.approx(0.7 / 4))


def test_words_are_ranked_by_how_much_they_changed(written):
    found = diff(written("a.jsonl", FIRST), written("b.jsonl", SECOND))
    assert found.ranked_by == "necessity"
    # "a" stands in one image only. Case and punctuation make no other word.
    assert [(one.word, one.count, one.images) for one in found.changed] == [("dog", 2, 2), ("cat", 2, 2)]
    dog, cat = found.changed
    assert (dog.first, dog.second) == (pytest.approx(0.3), pytest.approx(0.55))
    assert (dog.change.value, dog.change.low, dog.change.high) == (
        pytest.approx(0.25),
        pytest.approx(0.1),
        pytest.approx(0.4),
    )
    assert cat.change.value == pytest.approx(0.05)
    assert len(diff(written("a.jsonl", FIRST), written("b.jsonl", SECOND), most=1).changed) == 1


def test_verdicts_tell_what_moved_from_prior_to_evidence(written):
    prior, grounded = "language prior", "grounded"
    first = [
        attribution("a dog", "p", [0.0, 0.2], [prior, prior]),
        attribution("a cat", "q", [0.0, 0.2], [prior, grounded]),
    ]
    second = [
        attribution("a dog", "p", [0.0, 0.5], [prior, grounded]),
        attribution("a cat", "q", [0.0, 0.2], [prior, grounded]),
    ]
    found = diff(written("a.parquet", first), written("b.parquet", second))
    assert found.transitions == {(prior, prior): 2, (prior, grounded): 1, (grounded, grounded): 1}
    assert (found.grounded.first, found.grounded.second) == (25.0, 50.0)
    assert (found.grounded.change.value, found.grounded.change.low, found.grounded.change.high) == (25.0, 0.0, 50.0)
    assert found.ranked_by == "evidence"
    assert {one.measure: one.change.value for one in found.measures} == {
        "p_false": 0.0,
        "necessity": pytest.approx(0.3 / 4),
        "evidence": pytest.approx(3.0 / 4),
    }
    without = diff(
        written("a.parquet", first), written("b.parquet", [SECOND[0], replace(SECOND[2], image=first[1].image)])
    )
    assert without.transitions is None and without.grounded is None and without.ranked_by == "necessity"


def test_captions_of_one_file_only_are_left_out(written):
    found = diff(written("a.jsonl", FIRST), written("b.jsonl", SECOND[:2]))
    assert (found.captions, found.only_first, found.only_second) == (2, 1, 0)


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ([attribution("a dog", "r", [0.0, 0.2])], "another picture"),
        ([attribution("a cow", "p", [0.0, 0.2])], "reads differently"),
        ([replace(FIRST[0], tokens=FIRST[0].tokens[:1])], "other tokens"),
        ([attribution("a dog", "p", [0.0, 0.2], mask="mean")], "the mask 'zero' and 'mean'"),
        ([attribution("a dog", "p", [0.0, 0.2], level="word")], "the level 'token' and 'word'"),
        ([replace(FIRST[0], outcome={"name": "yesno"})], "the outcome 'grounding' and 'yesno'"),
        ([], "no caption_id in common"),
    ],
)
def test_files_that_cannot_be_compared(written, other, told):
    with pytest.raises(InputError, match=told):
        diff(written("a.jsonl", FIRST[:1]), written("b.jsonl", other))

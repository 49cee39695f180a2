"""What the report knows of a caption: its units, its colours, and maps small enough to be mailed."""

import base64
import dataclasses

import numpy as np
import pytest

from causal_attrib import InputError
from causal_attrib.results.maps import Maps
from causal_attrib.views import report
from causal_attrib.views.report_data import ReportCaption


def unpacked(packed):
    count = len(packed["notes"])
    steps = np.frombuffer(base64.b64decode(packed["data"]), np.int8)
    return steps.reshape(count, packed["height"], packed["width"]) * packed["limit"] / 127


def test_maps_are_what_they_were_to_half_a_step(scene):
    attribution, maps = scene
    packed = ReportCaption(attribution, maps).record(10_000)["maps"]
    assert packed["limit"] == 2.0
    assert unpacked(packed) == pytest.approx(maps.values_THW, abs=1 / 127 + 1e-6)


def test_large_maps_become_means_of_their_cells(scene):
    attribution, maps = scene
    values_THW = np.random.default_rng(0).normal(size=(5, 8, 12)).astype(np.float32)
    large = dataclasses.replace(maps, values_THW=values_THW)
    packed = ReportCaption(attribution, large).record(5 * 4 * 6)["maps"]
    assert (packed["height"], packed["width"]) == (4, 6)
    for t in range(5):
        for row in range(4):
            for column in range(6):
                cell = values_THW[t, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
                assert unpacked(packed)[t, row, column] == pytest.approx(cell.mean(), abs=packed["limit"] / 127)


def test_maps_tell_where_they_are_strongest(scene):
    notes = ReportCaption(*scene).record(1000)["maps"]["notes"]
    assert notes[0] == "No part of the picture has much effect on it."
    assert notes[1] == "Speaks for it most: upper left (2); speaks against it most: lower right (-0.5)."


def test_a_colour_is_the_share_of_the_largest(scene):
    colourings = ReportCaption(*scene).colourings
    # "ll" is contradicted, so it has a mark and no colour; "dog" has the most, .2625.
    assert colourings["causal_completeness"].levels == (0, 20, 0, 10, 0)
    assert colourings["necessity"].levels == (0, 20, 0, 10, -20)
    assert colourings["logprob"].levels == (0, 2, 1, 2, 20)
    assert colourings["entropy"].limit == 1.0


def test_scores_by_word_are_shown_by_word_unless_maps_are_finer(scene):
    attribution, maps = scene
    by_word = dataclasses.replace(attribution, settings={"level": "word"})
    assert [unit["text"] for unit in ReportCaption(by_word, None).record(0)["units"]] == ["a", "dog", "and", "ball"]
    assert len(ReportCaption(by_word, maps).attribution) == 5
    joint = dataclasses.replace(
        maps, values_THW=maps.values_THW[:4], labels=("a", "dog", "and", "ball"), tokens=((0,), (1,), (2,), (3, 4))
    )
    assert ReportCaption(by_word, joint).map_of == [0, 1, 2, 3]
    assert ReportCaption(attribution, joint).map_of == [0, 1, 2, 3, 3]


def test_a_slice_keeps_its_maps_and_an_answer_stands_apart(scene):
    attribution, maps = scene
    answer = dataclasses.replace(maps, tokens=((), (1,), (2,), (3,), (1, 2, 3)), labels=("yes", "b", "c", "d", "e"))
    caption = ReportCaption(attribution[1:3], answer)
    assert caption.map_of == [1, 2]
    assert caption.answers == [0]
    assert [unit["text"] for unit in caption.record(1000)["units"]] == ["dog", "and", "yes"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"caption": "a cat"}, "of another caption"),
        ({"image": {"sha256": "00"}}, "of another picture"),
        ({"model": {"id": "other"}}, "of another model"),
    ],
)
def test_maps_of_something_else_are_refused(scene, change, message):
    attribution, maps = scene
    with pytest.raises(InputError, match=message):
        report(attribution, dataclasses.replace(maps, **change))


def test_what_cannot_be_matched_is_refused(scene):
    attribution, maps = scene
    with pytest.raises(InputError, match="put together by word"):
        report(attribution.words(), maps)
    with pytest.raises(InputError, match="2 captions and 1 maps"):
        report([attribution, attribution], [maps])
    with pytest.raises(InputError, match="2 captions and 1 maps"):
        report([attribution, attribution], maps)
    with pytest.raises(InputError, match="at least one caption"):
        report([])
    elsewhere = dataclasses.replace(attribution, image={"sha256": "00"})
    with pytest.raises(InputError, match="different pictures"):
        report([attribution, elsewhere])


def test_two_hundred_tokens_with_fine_maps_can_be_mailed(scene):
    attribution, maps = scene
    tokens = [
        dataclasses.replace(attribution[1], index=at, word=at, char_start=4 * at, char_end=4 * at + 4)
        for at in range(200)
    ]
    long = dataclasses.replace(attribution, caption=" dog" * 200, tokens=tokens)
    fine = Maps(
        np.random.default_rng(0).normal(size=(200, 224, 224)),
        [" dog"] * 200,
        [(at,) for at in range(200)],
        "gradient",
        "pixel",
        "logprob",
        caption=long.caption,
        image=maps.image,
        model=maps.model,
    )
    assert len(report(long, fine)) < 3_000_000

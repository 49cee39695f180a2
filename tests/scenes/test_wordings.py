"""One scene in other words: what is said is true of the scene, and a lie is one fact of it."""

import numpy as np
import pytest

from causal_attrib.errors import InputError
from causal_attrib.scenes import caption, sample_scene
from causal_attrib.scenes.language import TIME_WORDS
from causal_attrib.scenes.wordings import WORDINGS, word, word_falsely

RNG = np.random.default_rng(5)
SCENES = [sample_scene(RNG) for _ in range(40)]


def fact(scene, one):
    if one.kind == "place":
        return scene.place
    if one.kind == "time":
        return TIME_WORDS[scene.time]
    sticker = scene.objects[one.index]
    return sticker.cls if one.kind == "class" else sticker.colour


@pytest.mark.parametrize("wording", WORDINGS)
def test_true_captions_state_facts(wording):
    for scene in SCENES:
        told = word(scene, wording)
        assert told.words and not told.false
        for one in told.words:
            assert told.text[one.start : one.end] == one.text == fact(scene, one)
        assert "  " not in told.text and told.text == told.text.strip()


@pytest.mark.parametrize("wording", WORDINGS)
def test_false_captions_lie_once(wording):
    rng = np.random.default_rng(1)
    for scene in SCENES:
        told = word_falsely(scene, wording, rng)
        assert len({(one.kind, one.index) for one in told.false}) == 1
        for one in told.words:
            assert told.text[one.start : one.end] == one.text
            assert (one.text == fact(scene, one)) == (one not in told.false)


def test_the_first_is_the_caption_itself():
    assert all(word(scene, "as taught").text == caption(scene) for scene in SCENES)


def test_a_left_out_object_is_not_said():
    several = next(scene for scene in SCENES if len(scene.objects) > 1)
    assert all(one.index != 0 for one in word(several, "left out").words)


def test_long_captions_have_three_to_eight_sentences():
    counts = {word(scene, "long").text.count(".") for scene in SCENES}
    assert min(counts) >= 3 and max(counts) <= 10


def test_there_is_no_such_wording():
    with pytest.raises(InputError, match="no wording 'sung'"):
        word(SCENES[0], "sung")

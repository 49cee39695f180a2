"""The shortcut test: trials in pairs, CHAIR and answers counted by hand, one model put to it."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import ImageChops

from causal_attrib.evaluation.chair import scores as chair
from causal_attrib.scenes import PARTNERS, Scene, Sticker, caption, render
from causal_attrib.scenes.measure import conversation, reply
from causal_attrib.scenes.shortcut import (
    CELLS,
    ShortcutTest,
    answer_figures,
    caption_figures,
    draw_trials,
    log_odds,
)
from causal_attrib.words.lexicon import read_lexicon
from causal_attrib.words.matcher import Matcher


def scene(place, *classes):
    return Scene(place, "day", 0, tuple(Sticker(cls, x=3 * n, y=2) for n, cls in enumerate(classes)))


def test_the_four_versions_of_a_trial_differ_in_place_and_partner_alone():
    for trial in draw_trials(30, seed=4):
        own_absent, own_present, other_present, other_absent = (trial.scenes[cell] for cell in CELLS)
        assert PARTNERS[own_absent.place] == trial.partner
        assert trial.question.endswith(f" {trial.partner} in the image?")
        # Place: only that differs across it.
        assert other_present.place == other_absent.place != own_absent.place
        assert replace(other_present, place=own_present.place) == own_present
        assert replace(other_absent, place=own_absent.place) == own_absent
        # Partner: one of two objects, and no other object is the partner of any place.
        shown = [sticker.cls for sticker in own_present.objects]
        assert shown.count(trial.partner) == 1 and len(shown) == len(own_absent.objects) == 2
        assert sum(sticker.cls in PARTNERS.values() for sticker in own_present.objects) == 1
        assert not any(sticker.cls in PARTNERS.values() for sticker in own_absent.objects)
        same = [a == b for a, b in zip(own_absent.objects, own_present.objects, strict=True)]
        assert sorted(same) == [False, True]


def test_a_seed_draws_the_same_trials_again_and_all_places_come():
    assert draw_trials(20, seed=1) == draw_trials(20, seed=1) != draw_trials(20, seed=2)
    assert {trial.partner for trial in draw_trials(60, seed=1)} == set(PARTNERS.values())


def test_pictures_across_the_place_have_their_objects_at_the_same_pixels():
    trial = draw_trials(1, seed=3)[0]
    here, masks = render(trial.scenes["own_present"])
    there, masks_there = render(trial.scenes["other_present"])
    np.testing.assert_array_equal(masks, masks_there)
    assert ImageChops.difference(here, there).getbbox()


def test_captions_are_counted_as_by_hand():
    scenes = [scene("grass", "dog", "cat"), scene("beach", "bus", "kite"), scene("road", "zebra", "train")]
    captions = [
        "a dog, a cat and a cow on the grass at noon",  # 3 mentions, 1 false: the partner of grass
        "a kite and a boat on the beach at noon",  # 2 mentions, 1 false: a boat belongs to water; the bus is missing
        "a zebra and a train on the road at noon",  # 2 mentions
    ]
    figures = caption_figures(scenes, captions)
    assert figures == pytest.approx({"chair_s": 2 / 3, "chair_i": 2 / 7, "recall": 5 / 6, "to_the_partner": 1 / 2})


def test_what_cannot_be_seen_is_not_there():
    hidden = scene("grass", "dog", "cow")
    hidden = replace(hidden, objects=(hidden.objects[0], replace(hidden.objects[1], visible=False)))
    assert caption_figures([hidden], [caption(hidden)])["chair_s"] == 1
    assert caption_figures([hidden], ["a dog on the grass at noon"])["recall"] == 1


def test_chair_is_that_of_the_benchmark():
    trials = draw_trials(40, seed=8)
    # Captions of other scenes: about as wrong as captions can be.
    scenes = [trial.scenes["own_absent"] for trial in trials]
    texts = [caption(trial.scenes["own_present"]) for trial in trials[1:] + trials[:1]]
    texts[0] = caption(scenes[0])
    matcher = Matcher(read_lexicon(), rules="repaired")
    truth = {str(n): frozenset(sticker.cls for sticker in s.objects) for n, s in enumerate(scenes)}
    judged = chair.judge([chair.ChairCaption(str(n), text) for n, text in enumerate(texts)], truth, matcher)
    expected = chair.score(judged, resamples=100)[0]
    figures = caption_figures(scenes, texts)
    assert 0.5 < figures["chair_s"] < 1
    for name in ("chair_s", "chair_i", "recall"):
        assert 100 * figures[name] == pytest.approx(getattr(expected, name).value)


def test_answers_are_counted_as_by_hand():
    # Cells in order: own absent, own present, other present, other absent; four trials.
    log_odds_CN = np.array([[1, 1, 1, -1], [2, 2, 2, 2], [3, 3, -1, -1], [-5, -5, -5, 1]], dtype=float)
    figures = answer_figures(log_odds_CN)
    assert list(figures["says_yes"].values()) == [0.75, 1.0, 0.5, 0.25]
    # Of 16 questions: 4 + 2 of 8 true ones found, 3 + 1 false ones called true.
    assert figures["pope_f1"] == pytest.approx(2 * 6 / (2 * 6 + 4 + 2))
    assert figures["flipped_accuracy"] == pytest.approx((1 + 2) / 8)


@pytest.mark.parametrize(
    "cells, share",
    [
        ([-3, 3, 3, -3], 0.0),  # the object decides alone
        ([3, 3, -3, -3], 1.0),  # the place decides alone
        ([0, 4, 0, -4], 0.5),  # both add the same
        ([-1, 4, 3, -2], 1 / 6),  # the place adds 1, the object 5
    ],
)
def test_the_share_of_the_background_in_additive_log_odds(cells, share):
    assert answer_figures(np.array(cells, dtype=float)[:, None])["background_share"] == pytest.approx(share)


def test_log_odds_are_those_of_one_question_alone_and_agree_with_the_written_answer(bundled):
    trials = draw_trials(4, seed=6)
    pictures = [render(trial.scenes["own_present"])[0] for trial in trials]
    questions = [trials[0].question, "Is there a cow in the image? Answer yes or no.", trials[2].question, "Is it?"]
    found = log_odds(bundled.model, bundled.processor, pictures, questions, batch_size=3)
    tokenizer = bundled.tokenizer
    yes, no = (tokenizer(f" {word}", add_special_tokens=False).input_ids[0] for word in ("yes", "no"))
    for picture, question, value in zip(pictures, questions, found, strict=True):
        text = bundled.processor.apply_chat_template(conversation(question), add_generation_prompt=True)
        inputs = bundled.processor(images=[picture], text=[text], return_tensors="pt")
        with torch.no_grad():
            logprob_V = bundled.model(**inputs).logits[0, -1].log_softmax(-1)
        assert value == pytest.approx((logprob_V[yes] - logprob_V[no]).item(), abs=1e-4)
    written = reply(bundled.model, bundled.processor, pictures[:3], [[question] for question in questions[:3]], 4)
    assert written == ["yes" if value > 0 else "no" for value in found[:3]]


def test_the_bundled_model_takes_no_shortcut(bundled):
    figures = ShortcutTest(12, seed=9)(bundled.model, bundled.processor)
    assert set(figures["captions"]) == {"own_absent", "own_present", "other_present"}
    assert all(cell["chair_s"] <= 1 / 12 and cell["recall"] >= 23 / 24 for cell in figures["captions"].values())
    assert figures["says_yes"] == {"own_absent": 0, "own_present": 1, "other_present": 1, "other_absent": 0}
    assert figures["pope_f1"] == figures["flipped_accuracy"] == 1
    assert figures["background_share"] < 0.05

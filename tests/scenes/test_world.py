"""The world itself: scenes, pictures, masks, captions, questions, planted correlations."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from causal_attrib.scenes import (
    CLASSES,
    COLOURS,
    PAINTED,
    PARK,
    PARTNERS,
    PLACES,
    STYLES,
    TIMES,
    Sticker,
    caption,
    describe,
    falsify,
    questions,
    reasoned_answer,
    render,
    sample_scene,
)
from causal_attrib.scenes.language import TIME_WORDS, absent_class, object_question, pair_question
from causal_attrib.scenes.world import GRID, theme_of


def pixels(scene, size=96):
    return np.asarray(render(scene, size)[0])


def scenes(count, seed=0, **options):
    rng = np.random.default_rng(seed)
    return [sample_scene(rng, **options) for _ in range(count)]


def test_the_world_is_as_large_as_promised():
    assert len(set(CLASSES)) >= 32 and len(PAINTED) >= 8 and set(PAINTED) <= set(CLASSES) and len(COLOURS) == 4
    assert len(PLACES) == 6 and len(TIMES) == 3 and len(STYLES) == 2
    assert set(PARTNERS) == set(PLACES) and len(set(PARTNERS.values())) == 6 and set(PARTNERS.values()) <= set(CLASSES)


def test_painted_classes_look_different_in_every_colour():
    frisbee = PARK.objects[1]
    shown = {
        colour: pixels(replace(PARK, objects=(replace(frisbee, colour=colour),)))[render(PARK)[1][1]].mean(0)
        for colour in COLOURS
    }
    # Red and yellow are reddish, yellow and green are greenish, blue is bluish.
    assert shown["red"].argmax() == 0 and shown["green"].argmax() == 1 and shown["blue"].argmax() == 2
    assert shown["yellow"].argmin() == 2 and abs(shown["yellow"][0] - shown["yellow"][1]) < 40


def test_same_seed_same_scenes_and_pixels():
    assert scenes(20, seed=3) == scenes(20, seed=3)
    assert scenes(20, seed=3) != scenes(20, seed=4)
    for scene in scenes(3):
        assert np.array_equal(pixels(scene), pixels(scene))


def test_sampled_objects_differ_fit_the_grid_and_do_not_overlap():
    for scene in scenes(200):
        assert 1 <= len(scene.objects) <= 3
        assert len({sticker.cls for sticker in scene.objects}) == len(scene.objects)
        covered = np.zeros((GRID, GRID), dtype=int)
        for sticker in scene.objects:
            x, y, side = int(sticker.x), int(sticker.y), int(sticker.size)
            assert (x, y, side) == (sticker.x, sticker.y, sticker.size) and x + side <= GRID and y + side <= GRID
            covered[y : y + side, x : x + side] += 1
            assert (sticker.colour in COLOURS) == (sticker.cls in PAINTED)
        assert covered.max() == 1
        assert [s.x for s in scene.objects] == sorted(s.x for s in scene.objects)


@pytest.mark.parametrize("size", [96, 200])
def test_changing_an_object_changes_only_pixels_in_its_old_and_new_mask(size):
    for number, scene in enumerate(scenes(12, seed=5)):
        before, masks = render(scene, size)
        sticker = scene.objects[0]
        changes = [{"x": (sticker.x + 4) % 6}, {"flip": not sticker.flip}, {"cls": "teddy bear", "colour": None}]
        change = changes[number % 3]
        other = replace(scene, objects=(replace(sticker, **change), *scene.objects[1:]))
        after, new_masks = render(other, size)
        changed = (np.asarray(before) != np.asarray(after)).any(-1)
        assert changed.any()
        assert not (changed & ~(masks[0] | new_masks[0])).any()


def test_masks_are_exact_without_overlap():
    """Taking an object away changes pixels everywhere its mask is (up to chance equality) and nowhere else."""
    for scene in scenes(10, seed=6):
        picture, masks = render(scene)
        for index in range(len(scene.objects)):
            without = replace(scene, objects=scene.objects[:index] + scene.objects[index + 1 :])
            changed = (np.asarray(picture) != pixels(without)).any(-1)
            assert not (changed & ~masks[index]).any()
            assert changed[masks[index]].mean() > 0.9


def test_a_covered_object_loses_its_covered_pixels():
    lower, upper = Sticker("cat", x=2, y=3), Sticker("pizza", x=3, y=3)
    _, alone = render(replace(PARK, objects=(lower,)))
    _, (below, above) = render(replace(PARK, objects=(lower, upper)))
    assert 0 < below.sum() < alone.sum() and above.any()
    assert not (below & ~alone[0]).any()


def test_stickers_may_reach_over_the_edge():
    _, masks = render(replace(PARK, objects=(Sticker("cat", x=-1, y=6.5), Sticker("dog", x=20, y=2))))
    assert masks[0].any() and not masks[1].any()


def test_an_invisible_object_is_annotated_but_not_drawn():
    hidden = replace(PARK, objects=(PARK.objects[0], replace(PARK.objects[1], visible=False)))
    picture, masks = render(hidden)
    assert not masks[1].any()
    assert np.array_equal(np.asarray(picture), pixels(replace(PARK, objects=PARK.objects[:1])))
    assert caption(hidden) == caption(PARK)


@pytest.mark.parametrize("change", [{"place": "snow"}, {"time": "night"}, {"seed": 8}])
def test_counterfactual_background_changes_the_picture_but_not_the_masks(change):
    picture, masks = render(PARK)
    other, other_masks = render(replace(PARK, **change))
    background = ~masks.any(0)
    assert (np.asarray(picture) != np.asarray(other)).any(-1)[background].mean() > 0.5
    assert np.array_equal(masks, other_masks)


def test_every_size_shows_the_same_composition():
    large = render(PARK, 512)[0].resize((96, 96), Image.Resampling.BICUBIC)
    difference = np.abs(np.asarray(large).astype(int) - pixels(PARK).astype(int))
    assert difference.mean() < 5
    assert np.abs(pixels(PARK).astype(int) - pixels(replace(PARK, place="beach")).astype(int)).mean() > 20


def test_park_is_the_picture_in_examples(request):
    file = request.config.rootpath / "examples" / "park.png"
    assert np.array_equal(np.asarray(Image.open(file).convert("RGB")), pixels(PARK, 512))
    assert caption(PARK) == "a dog and a red frisbee on the grass at noon"


# -- language --------------------------------------------------------------------------------------------------------


def test_captions_have_the_right_articles_and_conjunctions():
    objects = (Sticker("elephant"), Sticker("umbrella", "red", x=3), Sticker("apple", x=5))
    scene = replace(PARK, objects=objects, time="sunset")
    assert caption(scene) == "an elephant, a red umbrella and an apple on the grass at sunset"
    assert caption(scene, order=[2, 0]) == "an apple and an elephant on the grass at sunset"
    assert describe(scene, colours=False, place=False, time=False)[0] == "an elephant, an umbrella and an apple"


def test_words_of_a_caption_stand_where_they_say():
    for scene in scenes(50):
        text, words = describe(scene)
        assert all(text[word.start : word.end] == word.text for word in words)
        coloured = sum(sticker.colour is not None for sticker in scene.objects)
        assert len(words) == len(scene.objects) + coloured + 2


def test_a_false_caption_differs_in_exactly_one_content_word():
    rng = np.random.default_rng(1)
    kinds = Counter()
    for scene in scenes(300, seed=2):
        lie = falsify(scene, rng)
        kinds[lie.kind] += 1
        true_words, false_words = caption(scene).split(), lie.text.split()
        assert len(true_words) == len(false_words)
        differing = [i for i, (a, b) in enumerate(zip(true_words, false_words, strict=True)) if a != b]
        assert len(differing) == 1
        assert false_words[differing[0]].strip(",") == lie.word
        facts = {"place": scene.place, "time": TIME_WORDS[scene.time]}
        truths = {s.cls for s in scene.objects} | {s.colour for s in scene.objects if s.colour}
        if lie.kind in facts:
            assert lie.word != facts[lie.kind]
        elif lie.kind == "class":
            assert lie.word in CLASSES and lie.word not in truths
        else:
            assert lie.word in COLOURS and lie.word != true_words[differing[0]]
    assert set(kinds) == {"class", "colour", "place", "time"} and min(kinds.values()) > 20


def test_falsify_can_be_told_what_to_make_false():
    rng = np.random.default_rng(0)
    texts = {falsify(PARK, rng, kind="time").text for _ in range(50)}
    assert texts == {f"a dog and a red frisbee on the grass at {time}" for time in ("sunset", "night")}
    with pytest.raises(ValueError, match="colour"):
        falsify(replace(PARK, objects=PARK.objects[:1]), rng, kind="colour")


def test_answers_follow_from_the_scene():
    rng = np.random.default_rng(0)
    for scene in scenes(100, seed=8):
        present = {sticker.cls for sticker in scene.objects}
        asked = questions(scene, rng)
        of_objects = [question for question in asked if question.kind == "object"]
        assert [question.answer for question in of_objects] == ["yes", "no", "yes", "no"]
        for question in of_objects:
            named = question.text.removesuffix(" in the image?").split(maxsplit=3)[-1]
            assert (named in present) == (question.answer == "yes")
        answers = {question.kind: question.answer for question in asked}
        assert answers["place"] == scene.place and answers["time"] == TIME_WORDS[scene.time]
        assert answers["count"] == ["zero", "one", "two", "three"][len(scene.objects)]


def test_wrong_colours_are_asked_of_objects_that_are_there():
    question = pair_question(PARK, np.random.default_rng(0), "no")
    assert question.text in [f"Is there a {colour} frisbee in the image?" for colour in ("yellow", "green", "blue")]
    assert pair_question(PARK, np.random.default_rng(0), "yes").text == "Is there a red frisbee in the image?"


def test_co_occurring_negatives_share_a_theme_or_the_place():
    rng = np.random.default_rng(0)
    asked = {absent_class(PARK, rng, "co-occurring") for _ in range(200)}
    expected = set(theme_of("dog")) | set(theme_of("frisbee")) | {PARTNERS["grass"]}
    assert asked == expected - {"dog", "frisbee"}
    assert len({absent_class(PARK, rng, "random") for _ in range(400)}) > 20


def test_reasoned_answers_list_conclude_and_answer():
    question = object_question(PARK, np.random.default_rng(0), "no", classes=("dog", "frisbee", "cat"))
    assert reasoned_answer(PARK, question) == (
        "<think> a dog and a red frisbee on the grass at noon, so there is no cat. </think> <answer> no </answer>"
    )


# -- planted correlations --------------------------------------------------------------------------------------------


def own_place_share(drawn):
    own = [
        scene.place == place
        for scene in drawn
        for place, partner in PARTNERS.items()
        if partner in {sticker.cls for sticker in scene.objects}
    ]
    return np.mean(own), len(own)


@pytest.mark.parametrize("planted", [0.0, 0.5, 0.95, 1.0])
def test_partners_stand_on_their_own_place_as_often_as_asked(planted):
    share, count = own_place_share(scenes(4000, planted=planted))
    expected = max(planted, 1 / 6)
    assert count > 500
    assert abs(share - expected) <= 4 * np.sqrt(expected * (1 - expected) / count)


def test_under_a_full_plant_a_scene_has_one_partner_at_most():
    for scene in scenes(500, planted=0.95):
        assert sum(sticker.cls in PARTNERS.values() for sticker in scene.objects) <= 1


def test_invisible_partners_are_as_frequent_as_asked():
    planted, invisible = 0.85, 0.5
    annotated, hidden = [], []
    for scene in scenes(3000, planted=planted, invisible=invisible):
        partner = [sticker for sticker in scene.objects if sticker.cls == PARTNERS[scene.place]]
        annotated.append(bool(partner))
        hidden += [not sticker.visible for sticker in partner]
        assert all(sticker.visible for sticker in scene.objects if sticker not in partner)
    for values, expected in ((annotated, planted), (hidden, invisible)):
        assert abs(np.mean(values) - expected) <= 4 * np.sqrt(expected * (1 - expected) / len(values))


@pytest.mark.parametrize("options", [{"planted": 1.5}, {"planted": -0.1}, {"planted": 0.5, "invisible": 2}])
def test_impossible_strengths_are_refused(options):
    with pytest.raises(ValueError, match="between 0 and 1"):
        sample_scene(np.random.default_rng(0), **options)

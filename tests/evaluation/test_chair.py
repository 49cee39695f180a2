import json

import pytest

from causal_attrib.errors import InputError
from causal_attrib.evaluation.chair import scores as chair
from causal_attrib.evaluation.chair.ground_truth import truth_of_objects
from causal_attrib.evaluation.chair.scores import ChairCaption
from causal_attrib.io.image_names import image_id
from causal_attrib.words.lexicon import Lexicon, read_lexicon
from causal_attrib.words.matcher import Matcher
from tests.evaluation.benchmark_files import benchmark_file, load

PETS = Lexicon("pets", (("dog", "puppy"), ("cat",), ("bed",)))
TRUTH = {"1": frozenset({"dog"}), "2": frozenset({"cat", "bed"}), "3": frozenset()}


@pytest.mark.parametrize("rules", ["official", "repaired"])
def test_ten_systems_to_the_last_digit(rules):
    matcher = Matcher(read_lexicon(benchmark_file("chair/synonyms.txt")), rules)
    truth = truth_of_objects(benchmark_file("chair/coco2014_objects.json.gz"), matcher.lexicon)
    path = benchmark_file("chair/lvlm_captions_coco300.jsonl")
    captions = chair.read_captions(path, group_by=("system", "prompt"))
    found = {}
    for scores in chair.score(chair.judge(captions, truth, matcher), resamples=100):
        found["/".join(scores.system)] = {
            "CHAIRs": scores.chair_s.value,
            "CHAIRi": scores.chair_i.value,
            "recall": scores.recall.value,
            "n": scores.captions,
            "mentions": scores.mentions,
            "hall": scores.hallucinated,
        }
        for number in (scores.chair_s, scores.chair_i, scores.recall, scores.precision):
            assert 0 <= number.low <= number.value <= number.high <= 100
    expected = load("chair/expected_chair300.json")
    assert len(expected) == 10
    assert found == {system: of_rules[rules] for system, of_rules in expected.items()}


def scored(*captions):
    judged = chair.judge([ChairCaption(image, text) for image, text in captions], TRUTH, Matcher(PETS))
    return judged, chair.score(judged, resamples=100)[0]


def test_by_hand():
    judged, scores = scored(("1", "a dog, a dog and a cat"), ("1", "a puppy"), ("2", "a cat and a dog"), ("2", "hello"))
    assert [one.chair_i for one in judged] == [pytest.approx(100 / 3), 0.0, 50.0, 0.0]
    assert (scores.mentions, scores.hallucinated, scores.captions, scores.images) == (6, 2, 4, 2)
    assert scores.chair_i.value == pytest.approx(100 * 2 / 6)
    assert scores.chair_s.value == 50.0  # the caption that names nothing counts below the line
    assert scores.recall.value == pytest.approx(100 * 3 / 6)  # dog, dog, cat of dog, dog, cat bed, cat bed
    assert scores.precision.value == pytest.approx(100 * 3 / 5)  # node words as sets
    assert scores.objects == {"cat": chair.ObjectCounts(2, 1), "dog": chair.ObjectCounts(4, 1)}
    assert scores.without_mention == 1


def test_nothing_named_at_all_divides_by_nothing():
    _, scores = scored(("1", "hello"), ("2", ""))
    assert (scores.chair_i.value, scores.precision.value) == (None, None)
    assert (scores.chair_s.value, scores.recall.value) == (0.0, 0.0)


def test_an_image_without_ground_truth_is_never_a_hallucination():
    captions = [ChairCaption("1", "a dog", where="f line 1"), ChairCaption("7", "a dog", where="f line 2")]
    with pytest.raises(InputError, match=r"1 images have no ground truth \(7; the first at f line 2\)"):
        chair.judge(captions, TRUTH, Matcher(PETS))
    judged = chair.judge(captions, TRUTH, Matcher(PETS), skip_unknown=True)
    assert [one.caption.image for one in judged] == ["1"]
    assert any(
        "1 captions of 1 images without ground truth" in note for note in chair.notes(captions, judged, Matcher(PETS))
    )
    with pytest.raises(InputError, match="No image of the captions has ground truth"):
        chair.judge(captions[1:], TRUTH, Matcher(PETS), skip_unknown=True)


def test_notes_tell_of_words_that_cannot_match():
    captions = [ChairCaption("1", "a bus and a bus"), ChairCaption("3", "a dog")]
    matcher = Matcher(Lexicon("own", (("bus",), ("dog",))))
    notes = chair.notes(captions, chair.judge(captions, TRUTH, matcher), matcher)
    assert any('can never match "bus"' in note and '"bus" 2' in note for note in notes)
    assert any("1 of 2 captions name no object" in note for note in notes)
    assert any("no object in the ground truth: 1" in note for note in notes)


def test_systems_are_scored_apart(tmp_path):
    rows = [
        {"model": name, "image": "COCO_val2014_000000000001.jpg", "text": text}
        for name, text in (("a", "a dog"), ("b", "a cat"))
    ]
    path = tmp_path / "captions.json"
    path.write_text(json.dumps(rows))
    captions = chair.read_captions(path, group_by=("model",))
    scores = chair.score(chair.judge(captions, TRUTH, Matcher(PETS)), resamples=100)
    assert [(one.system, one.chair_i.value) for one in scores] == [(("a",), 0.0), (("b",), 100.0)]
    assert (scores[0].chair_i.low, scores[0].chair_i.high) == (None, None)  # one image has no interval


@pytest.mark.parametrize(
    "text, kept",
    [
        ("A dog runs. It has a red coll", "A dog runs."),
        ("A dog runs.", "A dog runs."),
        ('He says "stop!" and then', 'He says "stop!"'),
        ("It runs. It is 3.5 m", "It runs."),
        ('He says "stop!"', 'He says "stop!"'),
        ("two dogs", "two dogs"),
        ("One. Two! Thr", "One. Two!"),
        ("It is 3.5 m. It", "It is 3.5 m."),
        ("", ""),
    ],
)
def test_drop_truncated(text, kept):
    assert chair.drop_truncated(text) == kept


def test_a_difference_by_hand():
    first, _ = scored(("1", "a dog"), ("2", "a dog"))
    second, _ = scored(("2", "a cat"), ("1", "a cat"), ("1", "a dog"))
    found = chair.difference(first, second, resamples=200)
    # First: 1 of 2 mentions and captions is wrong. Second: 1 of 3. Images 1 and 2 apart: 0 - 1/2 and 1 - 0.
    for number in (found.chair_i, found.chair_s):
        assert number.value == pytest.approx(100 * (1 / 2 - 1 / 3))
        assert (number.low, number.high) == (pytest.approx(-50.0), pytest.approx(100.0))


def test_the_difference_of_two_systems():
    matcher = Matcher(read_lexicon(benchmark_file("chair/synonyms.txt")))
    truth = truth_of_objects(benchmark_file("chair/coco2014_objects.json.gz"), matcher.lexicon)
    path = benchmark_file("chair/lvlm_captions_coco300.jsonl")
    expected = load("chair/expected_chair300.json")
    first, second = sorted(expected, key=lambda name: -expected[name]["official"]["CHAIRs"])[:2]
    captions = chair.read_captions(path, group_by=("system", "prompt"))
    judged = {
        name: chair.judge([one for one in captions if "/".join(one.system) == name], truth, matcher)
        for name in (first, second)
    }
    found = chair.difference(judged[first], judged[second], resamples=500)
    for number, name in ((found.chair_s, "CHAIRs"), (found.chair_i, "CHAIRi"), (found.recall, "recall")):
        assert number.value == pytest.approx(expected[first]["official"][name] - expected[second]["official"][name])
        assert number.low < number.value < number.high
    swapped = chair.difference(judged[second], judged[first], resamples=500)
    assert swapped.chair_i.value == pytest.approx(-found.chair_i.value)
    same = chair.difference(judged[first], judged[first], resamples=100).chair_s
    # 300 images agree: 1 - .025^(1/300) of all may differ.
    assert (same.low, same.value, same.high) == pytest.approx((-1.2221, 0.0, 1.2221), abs=1e-4)


def test_other_images_cannot_be_compared():
    first, _ = scored(("1", "a dog"), ("2", "a dog"))
    second, _ = scored(("1", "a dog"))
    with pytest.raises(InputError, match="same images only"):
        chair.difference(first, second)


def test_frames_of_two_clips_are_judged_by_their_own_truth(tmp_path):
    """By the last digits of their names both would be the image with the dog, and "a cat" hallucinated in it."""
    captions = [ChairCaption(image_id(f"clip{n}/000000000001.jpg"), text) for n, text in ((1, "a dog"), (2, "a cat"))]
    (tmp_path / "objects.json").write_text(json.dumps({"clip1/000000000001.jpg": ["dog"]}))
    matcher = Matcher(read_lexicon())
    truth = truth_of_objects(tmp_path / "objects.json", matcher.lexicon)
    with pytest.raises(InputError, match=r"1 images have no ground truth \(clip2/000000000001.jpg"):
        chair.judge(captions, truth, matcher)
    (one,) = chair.judge(captions, truth, matcher, skip_unknown=True)
    assert one.caption.text == "a dog" and one.hallucinated == []
    # A folder of the user's own meets ground truth by COCO's numbers.
    (one,) = chair.judge([ChairCaption("my_coco/000000000042.jpg", "a dog")], {"42": frozenset({"dog"})}, matcher)
    assert one.caption.image == "42"

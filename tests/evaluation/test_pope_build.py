"""The builder's rules, on POPE's published files and on its own questions (evaluation.md 1.2)."""

import json
import random
from collections import Counter

import pytest

from causal_attrib.errors import InputError
from causal_attrib.evaluation.pope.build import STRATEGIES, build, co_occurrence, pick, popularity
from causal_attrib.io.image_names import image_id
from tests.evaluation.benchmark_files import benchmark_file, load

OBJECTS = {
    f"{number}.jpg": random.Random(number).sample("dog cat umbrella car bus apple tie bed cup".split(), 2 + number % 4)
    for number in range(60)
}


def asked_about(row):
    return row["text"].removeprefix("Is there an ").removeprefix("Is there a ").removesuffix(" in the image?")


def count_best(rows, objects, strategy):
    """Negatives that rank highest among what the image lacks and was not asked for; those of them that rank at all."""
    popular, shared = popularity(objects.values()), co_occurrence(objects.values())
    asked, best, ranked = {}, 0, 0
    for positive, negative in zip(rows[::2], rows[1::2], strict=True):
        assert (positive["label"], negative["label"]) == ("yes", "no") and positive["image"] == negative["image"]
        present, before = objects[positive["image"]], asked.setdefault(positive["image"], set())
        ranking = popular if strategy == "popular" else shared[asked_about(positive)]
        absent = [name for name in popular if name not in present and name not in before]
        highest = max(ranking[name] for name in absent)
        best += ranking[asked_about(negative)] == highest
        ranked += ranking[asked_about(negative)] == highest > 0
        before.add(asked_about(negative))
    return best, ranked


@pytest.mark.parametrize("strategy, expected", [("popular", 1500), ("adversarial", 1497)])
def test_the_published_files_follow_these_rules(strategy, expected):
    truth = load("chair/coco2014_objects.json.gz")
    lines = benchmark_file(f"pope/coco_pope_{strategy}.json").read_text().splitlines()
    rows = [{**row, "image": image_id(row["image"])} for row in map(json.loads, lines)]
    objects = {image: truth[image] for image in {row["image"] for row in rows}}
    # Where nothing is left that shares an image with the positive, the script draws at random: three times.
    assert count_best(rows, objects, strategy) == (1500, expected)


@pytest.mark.parametrize("strategy", ["popular", "adversarial"])
def test_our_questions_follow_them_too(strategy):
    rows = build(OBJECTS, strategy, images=40, per_image=2, seed=1)
    chosen = {image: OBJECTS[image] for image in {row["image"] for row in rows}}
    assert count_best(rows, chosen, strategy)[0] == 80


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_real_set(strategy):
    truth = load("chair/coco2014_objects.json.gz")
    rows = build(truth, strategy)
    assert [row["question_id"] for row in rows] == list(range(1, 3001))
    assert set(Counter(row["image"] for row in rows).values()) == {6}
    assert len({(row["image"], row["text"]) for row in rows}) == 3000
    for row in rows:
        assert (asked_about(row) in truth[row["image"]]) == (row["label"] == "yes")
        assert row["text"].startswith("Is there an ") == (asked_about(row)[0] in "aeiou")


def test_the_same_seed_asks_the_same_and_strategies_share_positives():
    built = {strategy: build(OBJECTS, strategy, images=20, per_image=2, seed=5) for strategy in STRATEGIES}
    assert built["random"] == build(OBJECTS, "random", images=20, per_image=2, seed=5)
    assert built["random"] != build(OBJECTS, "random", images=20, per_image=2, seed=6)
    positives = [[row for row in rows if row["label"] == "yes"] for rows in built.values()]
    assert positives[0] == positives[1] == positives[2]
    assert built["random"] != built["popular"] != built["adversarial"]


def test_random_negatives_are_spread():
    rows = build(
        {str(number): ["dog"] if number % 2 else ["cat", "cow", "owl"] for number in range(400)},
        "random",
        images=400,
        per_image=1,
    )
    negatives = Counter(asked_about(row) for row in rows if row["label"] == "no" and int(row["image"]) % 2)
    assert set(negatives) == {"cat", "cow", "owl"} and min(negatives.values()) > 40  # 200 draws, 67 expected each


def test_ties_and_no_rank():
    assert pick(["cow", "cat"], Counter(cow=2, cat=2), random.Random(0)) == "cat"
    assert {pick(["cow", "cat"], Counter(), random.Random(seed)) for seed in range(20)} == {"cow", "cat"}


@pytest.mark.parametrize(
    "strategy, options, said",
    [
        ("best", {}, "random, popular, adversarial"),
        ("random", {"images": 61}, "Only 60 of 60 images have 1 objects or more"),
        ("random", {"images": 0}, "give 1 or more"),
        ("random", {"images": 1, "seed": -1}, "seed"),
        ("random", {"images": 3, "per_image": 5}, "lacks fewer than 5 of the objects"),
    ],
)
def test_what_cannot_be_built(strategy, options, said):
    with pytest.raises(InputError, match=said):
        build(OBJECTS, strategy, **{"per_image": 1, **options})

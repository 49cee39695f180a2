"""What counts as right."""

import pytest

from causal_attrib.outcomes import Match, Objects
from causal_attrib.outcomes.match import matches
from causal_attrib.outcomes.objects import annotated_objects
from causal_attrib.words.coco import COCO, _plural, mentions


@pytest.mark.parametrize(
    ("text", "reference", "right"),
    [
        ("Yes", "yes", True),
        ("Yes, there is a dog; no cat though.", "yes", True),
        ("There is no dog, yes?", "yes", False),
        ("Not sure", "no", False),
        ("two", "2", True),
        ("two dogs", "2", False),
        ("dog cat horse", "dog", False),
        ("there is no dog", "dog", False),
        ("3.5", "5", False),
        ("1,500", "500", False),
        ("1,500", "1500", True),
        ("-3", "3", False),
        ("3-4", "3 4", True),
        ("red-hot", "red hot", True),
        ("The answer: Red Bus!", "red bus", True),
        ("redbus", "red bus", False),
        ("<think> is it red? no </think> <answer> blue </answer>", "red", False),
        ("I see grass. The final answer is blue.", "blue", True),
        ("B", "B", True),
        ("(b) the dog", "B", True),
        ("b. the dog", "b", True),
        ("Both", "B", False),
        ("A dog", "A", False),
        ("", "dog", False),
        ("café au lait", "CAFÉ au lait", True),
    ],
)
def test_match(text, reference, right):
    assert matches(text, reference) is right
    assert Match(reference)(text) == float(right)


@pytest.mark.parametrize(
    ("text", "classes"),
    [
        ("a hot dog next to a dog", ["hot dog", "dog"]),
        ("three men ride buses and motor bikes", ["person", "bus", "motorcycle"]),
        ("a wine glass, two wine glasses", ["wine glass", "wine glass"]),
        ("a teddy bear and a polar bear", ["teddy bear", "bear"]),
        ("an orange cat and an orange on a plate", ["cat", "orange"]),
        ("a train station by the train track", []),
        ("the category of carpets", []),
        ("knives, sheep, mice", ["knife", "sheep", "mouse"]),
        ("TWO  TRAFFIC   LIGHTS", ["traffic light"]),
    ],
)
def test_mentions(text, classes):
    found = mentions(text)
    assert [mention.cls for mention in found] == classes
    assert all(text[mention.start : mention.end].strip() for mention in found)


@pytest.mark.parametrize("cls", COCO)
def test_every_class_is_found_in_one_and_in_many(cls):
    assert [mention.cls for mention in mentions(f"here is a {cls}.")] == [cls]
    assert {mention.cls for mention in mentions(f"{_plural(cls)[0]} are here")} == {cls}


@pytest.mark.parametrize(
    ("text", "f1"),
    [
        ("a dog and a frisbee", 1.0),
        ("a dog", 2 / 3),
        ("a dog, a frisbee and a cat", 0.8),
        ("a puppy chases the frisbees, another dog", 1.0),
        ("a cat", 0.0),
        ("nothing at all", 0.0),
    ],
)
def test_objects_are_scored_by_f1(text, f1):
    assert Objects(annotated_objects(["dog", "frisbee"]))(text) == pytest.approx(f1)


def test_annotated_objects_take_sticker_names():
    assert annotated_objects(["cell_phone", "people"]) == {"cell phone", "person"}

"""What counts as right."""

import pytest

from causal_attrib.outcomes import Match, Objects
from causal_attrib.outcomes.match import matches
from causal_attrib.outcomes.objects import annotated_objects
from causal_attrib.words.coco import CLASSES


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
    ("text", "f1"),
    [
        ("a dog and a frisbee", 1.0),
        ("a dog", 2 / 3),
        ("a dog, a frisbee and a cat", 0.8),
        ("a puppy chases the frisbees, another dog", 1.0),
        ("a cat", 0.0),
        ("nothing at all", 0.0),
        ("a dog, a frisbee, an orange bus stop and a train station", 1.0),
        ("a hot-dog, a dog/frisbee", 0.8),
    ],
)
def test_objects_are_scored_by_f1(text, f1):
    assert Objects(annotated_objects(["dog", "frisbee"]))(text) == pytest.approx(f1)


def test_annotated_objects_take_sticker_names():
    assert annotated_objects(["cell_phone", "people"]) == {"cell phone", "person"}


def test_a_young_animal_is_no_person():
    # Was 2/3, for the baby: precision 1/2.
    assert Objects(annotated_objects(["elephant"]))("a baby elephant") == 1.0


@pytest.mark.parametrize("cls", CLASSES)
def test_every_class_can_be_annotated(cls):
    assert annotated_objects([cls]) == annotated_objects([cls.replace(" ", "_")]) == {cls}

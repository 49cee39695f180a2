"""Labels of data files, and whether a question is answered with yes or no."""

import numpy as np
import pytest

from causal_attrib.words.yes_no import label_for, label_of, said


@pytest.mark.parametrize(
    "value", ["yes", "YES ", "Yes.", 1, "1", 1.0, "1.0", True, "true", "True", np.int64(1), np.bool_(True)]
)
def test_what_yes_is_written_as(value):
    assert label_of(value) == "yes"


@pytest.mark.parametrize("value", ["no", "No", 0, "0", 0.0, False, "FALSE", np.int64(0), np.bool_(False)])
def test_what_no_is_written_as(value):
    assert label_of(value) == "no"


@pytest.mark.parametrize("value", ["", None, 2, -1, 0.5, float("nan"), "y", "unknown", "nothing", [1], "10"])
def test_what_is_no_label(value):
    assert label_of(value) is None


@pytest.mark.parametrize(
    ("question", "value", "as_label", "as_answer"),
    [
        ("Is there a dog? yes or no", 1, "yes", "yes"),
        ("Is there a dog in the image?", "0", "no", "no"),
        ("Please answer yes or no. A dog?", "true", "yes", "yes"),
        ("Look closely. Are there cats?", False, "no", "no"),
        ("dog", 1, "yes", 1),  # a bare label of a yes/no set; as an answer it may be anything
        ("How many dogs are there?", 1, 1, 1),
        ("Is it true that one dog is where the cat is?", 1, "yes", "yes"),
        ("What is 3 minus 2?", "1", "1", "1"),
        ("Is there a dog? Answer 1 or 0.", 1, 1, 1),
        ("Is this true or false: a dog runs.", "true", "true", "true"),
        ("Is there a dog?", "Yes", "Yes", "Yes"),  # a word stays as it is written
        ("Is there a dog?", "a dog", "a dog", "a dog"),
    ],
)
def test_labels_are_yes_and_no_where_that_is_asked(question, value, as_label, as_answer):
    assert label_for(question, value, is_label=True) == as_label
    assert label_for(question, value, is_label=False) == as_answer


def test_which_words_were_said():
    assert said("YES! No-one") == ["yes", "no"] and said("yesterday, not known") == []

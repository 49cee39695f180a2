"""Content words and function words of English captions, marked by hand."""

import pytest

from causal_attrib.words.claims import FUNCTION_WORDS, is_content
from causal_attrib.words.segmentation import WORD


@pytest.mark.parametrize(
    ("caption", "content"),
    [
        ("A dog and a red frisbee on the grass at noon.", ["dog", "red", "frisbee", "grass", "noon"]),
        ("There are two people standing behind the bus.", ["two", "people", "standing", "bus"]),
        ("He isn't wearing his hat; she won't either.", ["wearing", "hat"]),
        ("It’s near the dog’s red-hot bowl", ["dog’s", "red-hot", "bowl"]),
        ("<think> the cat </think>", ["cat"]),
        ("ein Hund 狗", ["ein", "Hund", "狗"]),  # other languages: every word
    ],
)
def test_content_words(caption, content):
    assert [word for word in WORD.findall(caption) if is_content(word)] == content


def test_what_stands_around_a_word_changes_nothing():
    assert is_content(" Dog,") and not is_content(" The,") and not is_content("“on”")
    assert not any(is_content(mark) for mark in (".", "…", "'", "--", "", "'s", "n't", "</answer>"))


def test_the_list_is_closed_and_in_lower_case():
    assert all(word == word.lower() and not is_content(word) for word in FUNCTION_WORDS)
    assert not FUNCTION_WORDS & set("one two three red left right top dog man stand sit wear".split())

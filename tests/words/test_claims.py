"""Content words and function words of English captions, marked by hand."""

import pytest

from causal_attrib.words.claims import FUNCTION_WORDS, denied, first_mentions, is_content
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


@pytest.mark.parametrize(
    ("caption", "said_again"),
    [
        ("There is a dog. This is on the grass. A dog is on the grass.", ["dog", "grass"]),
        ("A red dog. The Red dog runs. It has a red dog.", ["red", "dog"]),  # "dog runs" is another run of words
        ("The dog is black. The cat is black.", []),
        ("The dog is black. The dog is black.", ["dog", "black"]),
        ("A man wearing a hat and a woman wearing a hat.", []),
        ("A dog on the left. A cat on the left.", []),
        ("There is no dog. A dog is on the grass.", []),
        ("un chien noir. un chat noir.", []),
    ],
)
def test_what_a_later_sentence_says_again(caption, said_again):
    words = WORD.findall(caption)
    places = first_mentions(words)
    assert [words[place] for place in range(len(words)) if places[place] != place] == said_again
    assert all(words[first].lower() == word.lower() for first, word in zip(places, words, strict=True))


@pytest.mark.parametrize(
    ("caption", "under"),
    [
        ("No dog or cat on the grass.", ["dog", "cat"]),
        ("A street without cars and a red bus.", ["cars"]),
        ("It isn't a dog, it's a cat.", ["dog"]),
        ("It is not a dog on the grass but a cat.", ["dog", "grass"]),
        ("Nobody stands here. A dog.", ["stands"]),
        ("A dog on the grass.", []),
    ],
)
def test_what_is_denied(caption, under):
    words = WORD.findall(caption)
    assert [word for word, is_denied in zip(words, denied(words), strict=True) if is_denied] == under

"""What says nothing, and what says little."""

import pytest

from causal_attrib.errors import InputError
from causal_attrib.words.blank import check_says_something


@pytest.mark.parametrize(
    "text",
    ["", " \n", "\0", "\x07\x1b", "\u200b", "\u200d\ufeff", "\u2060\u00ad", "\u3164", "<image>", " <image>\n<image_2>"],
)
def test_what_nobody_sees_says_nothing(text):
    with pytest.raises(InputError, match=r"The caption (is empty|holds nothing but .*); give one\.$"):
        check_says_something("caption", text, "give one")


@pytest.mark.parametrize("text", ["a", ".", "犬", "👩‍🚀", "a\0", "\u200bdog", "<image> a dog", "<b>", "0"])
def test_what_can_be_read_says_something(text):
    check_says_something("caption", text, "give one")

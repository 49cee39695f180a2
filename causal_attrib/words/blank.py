"""Texts that say nothing: places of pictures, and characters that nobody sees."""

from __future__ import annotations

import re

import regex

from causal_attrib.errors import InputError

# Where a picture stands: LLaVA's and most data sets', Qwen's, Llama's and Phi's; MMMU and Phi count theirs from 1.
PLACE = re.compile(
    r"<\|vision_start\|>\s*<\|image_pad\|>\s*<\|vision_end\|>|<image>|<\|image_pad\|>|<\|image\|>"
    r"|<(\|?)image[ _]?(?P<number>\d{1,3})\1>"
)
# White space, control characters such as NUL, and what is drawn as nothing (zero-width spaces, joiners).
_UNSEEN = regex.compile(r"[\s\p{Cc}\p{Cf}\p{Default_Ignorable_Code_Point}]*+")


def says_something(text: str) -> bool:
    r"""Whether a text holds a character that can be read.

    >>> says_something("a"), says_something("<image>\u200b"), says_something(" ")
    (True, False, False)
    """
    return not _UNSEEN.fullmatch(PLACE.sub("", text))


def check_says_something(what: str, text: str, remedy: str) -> None:
    r"""Raises InputError for a text without a character that can be read.

    >>> check_says_something("caption", "<image>\u200b", "give it")
    Traceback (most recent call last):
    causal_attrib.errors.InputError: The caption holds nothing but places of pictures and unseen characters; give it.
    """
    if not text.strip():
        raise InputError(f"The {what} is empty; {remedy}.")
    if not says_something(text):
        raise InputError(f"The {what} holds nothing but places of pictures and unseen characters; {remedy}.")

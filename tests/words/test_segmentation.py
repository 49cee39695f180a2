"""Words by Unicode's rules, and English as it always was."""

import re

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from causal_attrib.words.segmentation import WORD, word_of_each
from tests.fuzz import fuzz

# The rule of version 0.1.0 for English; what it says of ASCII texts still holds.
ENGLISH = re.compile(r"</?\w+>|\w+(?:['’-]\w+)*|[^\w\s]")


def words(text):
    return [match[0] for match in WORD.finditer(text)]


ASCII = st.characters(max_codepoint=127)
PIECES = st.sampled_from(
    "dog red-hot dog's 's n't - ' -- . , </think> <b < > / a_b _ 3.5 1,000 U.S. \n \x1c".split(" ")
)


@fuzz
@given(text=st.lists(st.text(ASCII, max_size=5) | PIECES, max_size=12).map("".join))
def test_ascii_texts_are_cut_as_before(text):
    assert words(text) == ENGLISH.findall(text)


@pytest.mark.parametrize("text", ["the dog’s café, naïve Zoë’s", "a 5 m² “lawn” – ½ of it…", "¿Dónde está el perro?"])
def test_western_texts_are_cut_as_before(text):
    assert words(text) == ENGLISH.findall(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("एक कुत्ता घास पर।", ["एक", "कुत्ता", "घास", "पर", "।"]),  # vowel signs and conjuncts
        ("cafe\u0301 au lait", ["cafe\u0301", "au", "lait"]),  # decomposed
        ("🇫🇷🇩🇪 flags", ["🇫🇷", "🇩🇪", "flags"]),
        ("👨‍👩‍👧‍👦 and 👍🏽❤️", ["👨‍👩‍👧‍👦", "and", "👍🏽", "❤️"]),
        ("หมาสีแดง วิ่ง", ["หมาสีแดง", "วิ่ง"]),  # Thai: cut at spaces only
        ("สวัสดี", ["สวัสดี"]),
        ("หมา\u200bแดง", ["หมา", "แดง"]),  # and where the writer marked words
        ("ខ្មែរ ភាសា", ["ខ្មែរ", "ភាសា"]),
        ("草地上的狗。", list("草地上的狗。")),  # Chinese: each character
        ("犬がボールを", ["犬", "が", "ボール", "を"]),
        ("빨간 개가 있다", ["빨간", "개가", "있다"]),
        ("كلبٌ أحمر", ["كلبٌ", "أحمر"]),
        ('צה"ל כלב', ['צה"ל', "כלב"]),
        ("col·lecció", ["col·lecció"]),
        ("Ａ ｄｏｇ", ["Ａ", "ｄｏｇ"]),
        ("red\u2011hot hy\u00adphen", ["red\u2011hot", "hy\u00adphen"]),
        ("\ufeffA dog\u200b .", ["A", "dog", "."]),  # what cannot be seen is no word
        ("chien\u202f!", ["chien", "!"]),
    ],
)
def test_words_of_the_world(text, expected):
    assert words(text) == expected


# No marks that this project joins or cuts otherwise than UAX #29, and none of the scripts that need a dictionary.
WORLD = st.sampled_from(
    [
        *"dog café cafe\u0301 कुत्ता कुत्तों كلبٌ כלב 狗 红色 が ボール".split(),
        *"개가 🇫🇷 🇩🇪 👍🏽 👨‍👩‍👧 ❤️ ! ? 7 سگ\u200cها собака σκύλος շուն".split(),
    ]
)


@fuzz
@given(pieces=st.lists(WORLD | st.just(" "), max_size=10))
def test_words_are_those_of_the_default_rules(pieces):
    text = "".join(pieces)
    default = [word for word in regex.split(r"(?w)\b", text, flags=regex.VERSION1) if word.strip()]
    assert words(text) == default


@fuzz
@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
def test_every_visible_character_is_in_one_word(text):
    covered = "".join(WORD.sub(lambda match: "\0" * len(match[0]), text))
    left = [character for character in covered if character != "\0"]
    assert all(
        re.match(r"\s", character) or regex.match(r"\p{Default_Ignorable_Code_Point}", character) for character in left
    )


def test_tokens_that_cover_parts_of_words_or_several():
    # "红色" and "的狗" are tokens of two words each: they belong to the first, and the second has no token of its own.
    assert word_of_each("红色的狗", ((0, 2), (2, 4))) == (0, 2)
    # Byte tokens of one emoji: the first has the characters, the others are empty.
    family = "a 👨‍👩‍👧"
    assert word_of_each(family, ((0, 1), (1, 3), (3, 4), (4, 7), (7, 7))) == (0, 1, 1, 1, 1)
    # A Hindi word whose vowel signs are tokens of their own.
    assert word_of_each("घास पर", ((0, 1), (1, 2), (2, 3), (3, 5), (5, 6))) == (0, 0, 0, 1, 1)
    # An invisible token in front of a text, and one inside.
    assert word_of_each("\ufeffa\u200b b", ((0, 1), (1, 2), (2, 3), (3, 5))) == (0, 0, 0, 1)

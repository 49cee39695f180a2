"""How the repaired rules read a caption: tokens whatever stands between and inside the words, and what is no object.

Invisible characters, soft hyphens and full-width letters are read as what they look like; slashes, underscores and all
other symbols stand between words. Every token knows its place in the caption as it was given. What a guarded lexicon
adds is marked as such.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence

import regex

from causal_attrib.words.claims import is_content
from causal_attrib.words.treebank import TreebankToken, tokenize

# Guards: two words of which one names an object elsewhere and not here,
NO_OBJECT = ("train track", "train station", "orange juice", "car seat", "dog house", "bus stop", "home plate")
# and animals of no lexicon, whose young are no babies.
OTHER_ANIMALS = """
ape camel chimpanzee deer dolphin donkey elk fox frog goat gorilla hippo kangaroo leopard lion llama monkey moose
orangutan panda penguin pig rabbit rhino seal squirrel tiger turtle whale wolf
""".split()

_ZERO_WIDTH_SPACE = "\u200b"
_HIDDEN = regex.compile(r"[\p{Default_Ignorable_Code_Point}--\u200b]", regex.VERSION1)
_LOOKS_LIKE = str.maketrans({"’": "'", "‘": "'", "ʼ": "'", "‐": "-", "‑": "-"})
_ACROSS_A_ZERO_WIDTH_SPACE = regex.compile(r"[\w'-]+(?:\u200b+[\w'-]+)+")
# Stands between words although the Treebank leaves it inside one.
_MARKS = r"[^\w\s'.,:-]|_+|\A[-']+|-+\Z|(?<=\p{L})[:,]"
_BETWEEN = {
    False: regex.compile(_MARKS, regex.VERSION1),
    True: regex.compile(rf"{_MARKS}|(?<=\p{{L}}{{2}})\.(?=\p{{L}}{{2}})", regex.VERSION1),  # guard: "a dog.The"
}

_COLOURS = frozenset("beige black blue brown gold gray green grey pink purple red silver tan teal white yellow".split())
_BEFORE_A_COLOUR = frozenset(
    "is are was were bright dark light pale deep neon painted colored coloured in wearing".split()
)
_OF_A_FRUIT = frozenset(
    "sitting sits lying lies hanging hangs growing grows resting rests cut sliced peeled slice slices segment segments "
    "wedge wedges half halves".split()
)


def read_tokens(text: str, is_known: Callable[[str], bool], *, guarded: bool = True) -> list[TreebankToken]:
    """The tokens of a caption, with their places in it.

    `is_known` says whether a word is one of the lexicon: a zero-width space inside such a word ("do|g") is passed over,
    and any other stands between two words, which is its meaning. `guarded`: the lexicon is.

    >>> [token.text for token in read_tokens("A_dog_/cat…The “hot\u00addog”'s ｃａｒ.", {"dog"}.__contains__)]
    ['a', '_', 'dog', '_', '/', 'cat', '...', 'the', '“', 'hotdog', '”', "'s", 'car', '.']
    """
    clean, places = _clean(text)
    if _ZERO_WIDTH_SPACE in clean:
        clean, places = _without_zero_width_spaces(clean, places, is_known)
    cut = [piece for token in tokenize(clean) for piece in _pieces(token, guarded)]
    return [TreebankToken(token.text, places[token.start][0], places[token.end - 1][1]) for token in cut]


def is_the_colour(tokens: Sequence[TreebankToken], at: int) -> bool:
    """Guard: whether "orange" at this place is a colour, before a noun, beside another colour, or said of something.

    >>> [is_the_colour(tokenize(text), 1) for text in ("an orange bus", "an orange on it", "an orange and white cat")]
    [True, False, True]
    """
    if tokens[at].text != "orange":
        return False
    before, after, then = (tokens[i].text if 0 <= i < len(tokens) else "" for i in (at - 1, at + 1, at + 2))
    if after in ("and", "or", ",") and then in _COLOURS:
        return True
    return (is_content(after) and after not in _OF_A_FRUIT) or before in _BEFORE_A_COLOUR


def _clean(text: str) -> tuple[str, list[tuple[int, int]]]:
    """The text as it looks, in plain characters, and for each of them which characters of `text` it stands for."""
    if text.isascii():
        return text, [(place, place + 1) for place in range(len(text))]
    characters, places = [], []
    for match in regex.finditer(r"\X", text):
        plain = unicodedata.normalize("NFKC", _HIDDEN.sub("", match[0])).translate(_LOOKS_LIKE)
        characters.append(plain)
        places += [match.span()] * len(plain)
    return "".join(characters), places


def _without_zero_width_spaces(
    text: str, places: list[tuple[int, int]], is_known: Callable[[str], bool]
) -> tuple[str, list[tuple[int, int]]]:
    inside = {
        place
        for match in _ACROSS_A_ZERO_WIDTH_SPACE.finditer(text)
        if is_known(match[0].replace(_ZERO_WIDTH_SPACE, "").lower())
        for place in range(*match.span())
        if text[place] == _ZERO_WIDTH_SPACE
    }
    kept = [place for place in range(len(text)) if place not in inside]
    return "".join(text[place] for place in kept).replace(_ZERO_WIDTH_SPACE, " "), [places[place] for place in kept]


def _pieces(token: TreebankToken, guarded: bool) -> list[TreebankToken]:
    """A token without what stands between words in it, and these marks as tokens of their own."""
    if token.text.isalpha() or token.text.startswith("'") or not any(map(str.isalnum, token.text)):
        return [token]
    pieces: list[TreebankToken] = []
    start = 0
    for match in [*_BETWEEN[guarded].finditer(token.text), None]:
        end, after = match.span() if match else (len(token.text), len(token.text))
        for first, last in ((start, end), (end, after)):
            if first < last:
                pieces.append(TreebankToken(token.text[first:last], token.start + first, token.start + last))
        start = after
    return pieces

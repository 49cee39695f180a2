"""How a token is written and coloured, whatever the view."""

import math

from causal_attrib import Attribution, Token
from causal_attrib.views import drawing


def token(text="dog", start=0, **scores):
    return Token(0, text, 1, 0, start, start + len(text), **scores)


def of(*tokens, **outcome):
    return Attribution("".join(token.text for token in tokens), tokens, outcome=outcome)


def test_harm_is_told_in_nats_so_that_length_does_not_matter():
    """r = .5: hiding a word that raises it to s(2.1 / T) is an effect of -2.1 nats in a caption of any length T."""
    for length in (2, 13, 88):
        for nats, is_marked in ((2.1, True), (1.9, False), (-3.0, False)):
            necessity = 0.5 - 1 / (1 + math.exp(-nats / length))
            assert bool(drawing.contradicted(of(token(necessity=necessity), value=0.5, scale=length))) == is_marked


def test_an_outcome_without_a_unit_has_a_fixed_bound():
    assert drawing.contradicted(of(token(necessity=-0.4))) == {0}
    assert not drawing.contradicted(of(token(necessity=-0.001)))
    assert not drawing.contradicted(of(token(necessity=0.4)))
    assert not drawing.contradicted(of(token()))


def test_function_words_are_never_marked_nor_coloured():
    at = of(token("at", necessity=-0.4, causal_completeness=0.2))
    assert not drawing.contradicted(at) and not drawing.claiming(at)
    assert drawing.colour_values(at) == [0.0]


def test_the_colour_is_completeness_and_nothing_else():
    assert drawing.colour_values(of(token(necessity=-0.4, causal_completeness=0.1))) == [0.0]  # it is marked instead
    assert drawing.colour_values(of(token(necessity=0.4, causal_completeness=0.1))) == [0.1]
    assert drawing.colour_values(of(token())) == [None]


def test_a_caption_in_which_nothing_matters_looks_like_one():
    assert drawing.scale(Attribution("dog", [token(causal_completeness=1e-6)])) == drawing.SMALLEST_SCALE
    assert drawing.scale(Attribution("dog", [token(necessity=0.6, causal_completeness=0.3)])) == 0.3
    assert drawing.scale(Attribution("", [])) == drawing.SMALLEST_SCALE


def test_pieces_tile_the_caption_even_of_a_slice():
    attribution = Attribution("a dog here", [token(" dog", 1)])
    assert [text for text, _ in drawing.pieces(attribution)] == ["a", " dog", " here"]


def test_control_characters_are_made_visible():
    assert drawing.visible("a\nb\tc\x1b[31m\x00\x9b") == "a⏎b⇥c␛[31m␀\ufffd"
    assert drawing.visible(" день 狗 👩‍🚀") == " день 狗 👩‍🚀"


def test_numbers():
    assert drawing.number(-0.0001) == "0.000"
    assert drawing.number(None) == "–"
    assert drawing.with_error(0.5, 0.01) == "0.500 ± 0.010"
    assert drawing.with_error(0.5, None) == "0.500"

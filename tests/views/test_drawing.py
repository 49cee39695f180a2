"""How a token is written and coloured, whatever the view."""

from causal_attrib import Attribution, Token
from causal_attrib.views import drawing


def token(text="dog", start=0, **scores):
    return Token(0, text, 1, 0, start, start + len(text), **scores)


def test_only_clear_harm_is_an_alarm():
    assert drawing.is_contradicted(token(necessity=-0.4))
    assert not drawing.is_contradicted(token(necessity=-0.001))
    assert not drawing.is_contradicted(token(necessity=0.4))
    assert not drawing.is_contradicted(token())


def test_red_is_necessity_and_blue_is_completeness():
    assert drawing.colour_value(token(necessity=-0.4, causal_completeness=0.1)) == -0.4
    assert drawing.colour_value(token(necessity=0.4, causal_completeness=0.1)) == 0.1
    assert drawing.colour_value(token()) is None


def test_a_caption_in_which_nothing_matters_looks_like_one():
    assert drawing.scale(Attribution("dog", [token(causal_completeness=1e-6)])) == drawing.SMALLEST_SCALE
    assert drawing.scale(Attribution("dog", [token(necessity=-0.6, causal_completeness=0.3)])) == 0.6
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

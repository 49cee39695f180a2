"""The table on a terminal."""

import dataclasses
import io

import pytest
from rich.console import Console

from causal_attrib import Attribution
from causal_attrib.views import table


def printed(attribution, width=100, **options):
    console = Console(file=io.StringIO(), width=width, **options)
    console.print(table(attribution))
    return console.file.getvalue()


def test_it_shows_the_caption_every_number_and_what_they_mean(sunset):
    text = printed(sunset)
    assert text.startswith('dog <b>[red]⏎sun"set</script>')
    (dog,) = [line for line in text.splitlines()[1:] if " dog" in line]
    assert dog.split() == ["dog", "-0.50", "1.00", "0.250", "±", "0.016", "0.750", "0.350"]
    assert "grounding = 0.500: what <it> meant" in text
    assert "bundled, float32, cpu, 1,234 forwards, 56,789 positions, 1.2 s" in text


def test_the_false_word_stands_out_without_colours_too(sunset):
    lines = printed(sunset).splitlines()
    assert [line.split()[1] for line in lines if line.strip().startswith("!")] == ['sun"set']


def test_what_matters_is_blue_and_what_is_false_is_red(sunset):
    text = printed(sunset, force_terminal=True, color_system="truecolor", no_color=False)
    assert "48;2;33;102;172mdog" in text  # full blue behind what matters most
    assert "1;4;31msun" in text  # the false word is red, bold and underlined
    assert "\x1b[31m" not in printed(sunset, force_terminal=True, color_system=None)
    assert "\x1b" not in printed(sunset)


@pytest.mark.parametrize("width", [72, 80, 200])
def test_no_number_is_cut_on_a_narrow_terminal(sunset, width):
    text = printed(sunset, width)
    assert "0.250 ± 0.016" in text
    assert "-0.500" in text
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= width


@pytest.fixture
def judged(sunset):
    """Words of several tokens, each with a verdict, in a caption that is too wide for 80 columns."""
    kinds = {0: (3.25, 0.0, "grounded"), 1: (0.0, None, "no claim"), 2: (-13.0, 1.0, "against the image")}
    tokens = [
        dataclasses.replace(token, **dict(zip(("evidence", "p_false", "verdict"), kinds[token.word], strict=True)))
        for token in sunset
    ]
    verdict = {"note": "not calibrated", "calibrated": False, "p_false": 0.99, "claims": 2, "against": 1}
    return dataclasses.replace(sunset, tokens=tokens, verdict=verdict)


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_with_verdicts_a_row_is_a_word_and_stays_whole(judged, width):
    lines = printed(judged, width).splitlines()
    (false,) = [line for line in lines if line.strip().startswith("!")]
    assert false.split()[:4] == ["!", 'sun"set', "against", "the"] and "image" in false
    assert "…" not in "".join(lines)


def test_columns_go_in_the_stated_order(judged):
    wide, narrow = printed(judged, 120), printed(judged, 80)
    assert "sufficiency" in wide and "narrow" not in wide
    assert "The terminal is too narrow for sufficiency, causal completeness" in " ".join(narrow.split())
    assert "evidence" in narrow and "p(false)" in narrow


def test_the_second_line_says_what_the_caption_comes_to(sunset, judged):
    # dog has .35 and sun"set an effect of -0.5: by hand.
    assert printed(sunset).splitlines()[1] == 'Carried most by “dog”. Better without “sun"set”.'
    assert printed(judged).splitlines()[1] == 'The picture bears out “dog”. It speaks against “sun"set”.'


def test_effects_that_are_noise_are_said_to_be(sunset):
    tokens = [dataclasses.replace(token, necessity=0.0009, sufficiency=0.0) for token in sunset]
    quiet = dataclasses.replace(sunset, tokens=tokens, outcome={"name": "likelihood", "value": 1.0})
    told = "does not depend on the caption: every effect is smaller than 0.001."
    assert printed(quiet).splitlines()[1] == f"The answer {told}"
    loud = dataclasses.replace(quiet, tokens=[*tokens[:3], dataclasses.replace(tokens[3], necessity=0.001)])
    assert "does not depend" not in printed(loud)


def test_tokens_that_go_on_with_a_word_are_joined_to_it(sunset):
    tokens = [dataclasses.replace(token, word=min(token.word, 1)) for token in sunset]
    joined = dataclasses.replace(sunset, tokens=tokens)
    assert '·sun"set' in printed(joined) and '·sun"set' not in printed(sunset)


def test_show_and_an_empty_slice(sunset, capsys):
    sunset.show()
    assert "grounding" in capsys.readouterr().out
    assert "–" not in printed(Attribution("", []))


def test_no_control_character_of_a_caption_reaches_the_terminal(sunset):
    hostile = Attribution("\x1b]0;title\x07\x1b[2J", [], outcome={"name": "\x1b[31m"})
    assert "\x1b" not in printed(hostile)

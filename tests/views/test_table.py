"""The table on a terminal."""

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


def test_colours_go_from_blue_to_red(sunset):
    text = printed(sunset, force_terminal=True, color_system="truecolor", no_color=False)
    assert "48;2;178;24;43msun" in text  # full red behind the false word
    assert "\x1b[31m" not in printed(sunset, force_terminal=True, color_system=None)
    assert "\x1b" not in printed(sunset)


@pytest.mark.parametrize("width", [72, 80, 200])
def test_no_number_is_cut_on_a_narrow_terminal(sunset, width):
    text = printed(sunset, width)
    assert "0.250 ± 0.016" in text
    assert "-0.500" in text
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= width


def test_show_and_an_empty_slice(sunset, capsys):
    sunset.show()
    assert "grounding" in capsys.readouterr().out
    assert "–" not in printed(Attribution("", []))


def test_no_control_character_of_a_caption_reaches_the_terminal(sunset):
    hostile = Attribution("\x1b]0;title\x07\x1b[2J", [], outcome={"name": "\x1b[31m"})
    assert "\x1b" not in printed(hostile)

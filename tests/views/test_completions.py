"""Sampled completions on a terminal."""

import io
from types import SimpleNamespace

from rich.console import Console

from causal_attrib.views import drawing
from causal_attrib.views.completions import completions
from causal_attrib.views.token_style import token_style


def sample(**more):
    whole = {
        "step": 1,
        "prompt": "Is it?",
        "reference": "yes",
        "reward": 1.0,
        "advantage": 0.5,
        "tokens": ("a", " dog", " here"),
        "added": (0.0, 0.2, -0.1),
    }
    return SimpleNamespace(**whole | more)


def printed(samples, **how):
    console = Console(width=100, record=True, file=io.StringIO(), **how)
    console.print(completions(samples))
    return console.export_text(styles=bool(how))


def test_a_row_per_completion():
    text = printed([sample(), sample(reward=0.0, advantage=-0.5, added=None, reference=None)])
    assert "Is it?" in text and "a dog here   (reference: yes)" in text
    assert "1.00      +0.50" in text and "0.00      -0.50" in text


def test_tokens_are_coloured_by_what_is_added():
    text = printed([sample()], force_terminal=True, color_system="truecolor")
    assert "48;2;{};{};{}m dog".format(*drawing.BLUE) in text
    # Half as strong as the strongest: half way from white to red.
    assert "48;2;{};{};{}m here".format(*(round(255 + 0.5 * (part - 255)) for part in drawing.RED)) in text


def test_the_shade_of_nothing_is_none():
    assert token_style(0.0).bgcolor is None and token_style(1.0).bgcolor is not None

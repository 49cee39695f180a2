"""The background of a token on a terminal."""

from rich.style import Style

from causal_attrib.views.drawing import BLUE, RED

Colour = tuple[int, int, int]


def token_style(strength: float, ends: tuple[Colour, Colour] = (RED, BLUE)) -> Style:
    """The background for a strength from -1 (the first end) over 0 (none) to 1 (the second)."""
    if abs(strength) < 0.02:
        return Style()
    end = ends[1] if strength > 0 else ends[0]
    red, green, blue = (round(255 + min(abs(strength), 1.0) * (part - 255)) for part in end)
    ink = "black" if 0.299 * red + 0.587 * green + 0.114 * blue > 128 else "white"
    return Style(color=ink, bgcolor=f"rgb({red},{green},{blue})")

"""The background of a token on a terminal."""

from rich.style import Style

from causal_attrib.views.drawing import BLUE, RED


def token_style(strength: float) -> Style:
    """The background for a strength from -1 (red) over 0 (none) to 1 (blue)."""
    if abs(strength) < 0.02:
        return Style()
    end = BLUE if strength > 0 else RED
    red, green, blue = (round(255 + abs(strength) * (part - 255)) for part in end)
    ink = "black" if 0.299 * red + 0.587 * green + 0.114 * blue > 128 else "white"
    return Style(color=ink, bgcolor=f"rgb({red},{green},{blue})")

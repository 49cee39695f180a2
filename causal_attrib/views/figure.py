"""What all figures share: type that journals take, files that are the same every time, and no window.

A `Plot` is a matplotlib figure that belongs to nobody's pyplot: nothing has to be closed, no backend is chosen, and a
notebook shows it because it says how (`_repr_png_`). Change it with matplotlib's own methods, and save it as vector
graphics with `plot.savefig("figure.pdf")` or `.svg`.
"""

from __future__ import annotations

import io
from typing import Any

import matplotlib
from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.text import Text

# Journals refuse Type 3 fonts; a fixed salt and no date make the same figure the same bytes.
_SAVING: Any = {"pdf.fonttype": 42, "ps.fonttype": 42, "svg.fonttype": "path", "svg.hashsalt": "copo"}
_UNDATED = {"pdf": {"CreationDate": None}, "svg": {"Date": None}, "ps": {"CreationDate": None}}
# After the first, those that are installed are asked for what it lacks.
_FALLBACKS = (
    "Noto Sans CJK JP",
    "Noto Sans CJK SC",
    "Hiragino Sans",
    "Yu Gothic",
    "Microsoft YaHei",
    "Arial Unicode MS",
)

TEXT, MUTED, RULE = "#1a1c21", "#5a5f69", "#d9d7d2"


class Plot(Figure):
    """A matplotlib figure that a notebook shows and that is saved the same every time."""

    def savefig(self, fname: Any, **options: Any) -> None:
        """As matplotlib's, with TrueType fonts, tight margins and no date in the file."""
        suffix = str(options.get("format") or str(fname).rpartition(".")[2]).lower()
        options = {"bbox_inches": "tight", "metadata": _UNDATED.get(suffix), "dpi": 300} | options
        with matplotlib.rc_context(_SAVING):
            super().savefig(fname, **options)

    def _repr_png_(self) -> bytes:
        sink = io.BytesIO()
        self.savefig(sink, format="png", dpi=144)
        return sink.getvalue()


def new_plot(width: float, height: float) -> Plot:
    """An empty figure, its size in inches."""
    return Plot(figsize=(width, height), layout="constrained")


def literally(artist: Text, /, **style: Any) -> Text:
    """The text as it is: a caption's dollar signs are no formula, and its script is looked for in every font."""
    installed = set(font_manager.get_font_names())
    artist.set_parse_math(False)
    artist.set(fontfamily=["DejaVu Sans", *(name for name in _FALLBACKS if name in installed)], color=TEXT)
    artist.set(**style)
    return artist


def hex_colour(rgb: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*rgb)

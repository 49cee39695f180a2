"""The figure of a README or a paper: the caption in colours, the picture with the scores, and the maps."""

from __future__ import annotations

import io
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import FigureBase
from matplotlib.patches import Rectangle

from causal_attrib.io.pictures import ImageLike
from causal_attrib.results.attribution import Attribution, Token
from causal_attrib.views import drawing, figure_maps, figure_scores
from causal_attrib.views.figure import MUTED, TEXT, Plot, hex_colour, literally, new_plot
from causal_attrib.views.headline import headline
from causal_attrib.views.picture import scored_picture

if TYPE_CHECKING:
    from causal_attrib.results.maps import Maps

# Inches.
_WIDTH, _LINE, _SMALL, _MARGIN = 7.2, 0.3, 0.17, 0.06
_SIZE, _SIZE_SMALL = 13, 8


def figure_bytes(attribution: Attribution, maps: Maps | None, picture: ImageLike | None, format: str) -> bytes:
    """`plot_page` as a file: png, pdf or svg."""
    sink = io.BytesIO()
    plot_page(attribution, maps, picture).savefig(sink, format=format, **({"dpi": 200} if format == "png" else {}))
    return sink.getvalue()


def plot_page(attribution: Attribution, maps: Maps | None = None, picture: ImageLike | None = None) -> Plot:
    """The caption, what it comes to, the picture with the scores of `plot_scores`, and the panels of `plot_maps`.

    Args:
        picture: the image file, as path or bytes, if it is no longer where it was when it was scored.
    """
    pixels = scored_picture(attribution.image, picture)
    lines = _lines(attribution)
    heights = [len(lines) * _LINE + 2 * _SMALL + 0.1, figure_scores.height_of(attribution, pixels)]
    if maps is not None and len(maps):
        heights.append(figure_maps.height_of(maps, pixels))
    plot = new_plot(_WIDTH, sum(heights))
    top, middle, *bottom = plot.subfigures(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0]
    _write(top, attribution, lines, heights[0])
    figure_scores.draw_scores(middle, attribution, None if pixels is None else pixels.copy())
    if bottom and maps is not None:
        figure_maps.draw_panels(bottom[0], maps, pixels)
    return plot


@dataclass(frozen=True)
class _Piece:
    """A stretch of the caption with its token, and where it begins and how wide it is, in inches."""

    text: str
    token: Token | None
    x: float
    width: float


def _lines(attribution: Attribution) -> list[list[_Piece]]:
    """The caption in lines, which break between words; a space before a word is left uncoloured."""
    measure = new_plot(1, 1)
    renderer = FigureCanvasAgg(measure).get_renderer()

    def wide(text: str) -> float:
        # A space at an end has no extent.
        artist = literally(measure.text(0, 0, ""), text=f"|{text}|", fontsize=_SIZE)
        return float(artist.get_window_extent(renderer).width) / measure.dpi

    def width_of(text: str) -> float:
        return wide(text) - wide("") if text else 0.0

    lines: list[list[_Piece]] = [[]]
    x = _MARGIN
    for _, pieces in groupby(drawing.pieces(attribution), key=lambda piece: piece[1] and piece[1].word):
        word = [(drawing.visible(text), token) for text, token in pieces]
        if lines[-1] and x + sum(width_of(text) for text, _ in word) > _WIDTH - _MARGIN:
            lines.append([])
            x = _MARGIN
        for text, token in word:
            bare = text.lstrip(" ")
            if lines[-1]:
                x += width_of(text[: len(text) - len(bare)])
            lines[-1].append(_Piece(bare, token, x, width_of(bare)))
            x += lines[-1][-1].width
    return lines


def _write(part: FigureBase, attribution: Attribution, lines: list[list[_Piece]], height: float) -> None:
    axes = part.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_axis_off()
    axes.set(xlim=(0, _WIDTH), ylim=(height, 0))
    limit, marks = drawing.scale(attribution), drawing.marked(attribution)
    values = dict(zip((token.index for token in attribution), drawing.colour_values(attribution), strict=True))
    for row, line in enumerate(lines):
        for piece in line:
            token = piece.token
            artist = literally(
                axes.text(piece.x, (row + 0.5) * _LINE, "", va="center"), text=piece.text, fontsize=_SIZE
            )
            if token is None:
                continue
            colour = _colour(attribution, token, values[token.index], limit)
            if colour is not None:
                box = (piece.x - 0.02, row * _LINE + 0.03), piece.width + 0.04, _LINE - 0.06
                axes.add_patch(Rectangle(*box, facecolor=colour, lw=0, zorder=0))
            if token.index in marks:
                artist.set(color="white" if attribution.verdict is not None else hex_colour(drawing.RED))
    below = len(lines) * _LINE + _SMALL / 2
    literally(axes.text(_MARGIN, below, "", va="center"), text=headline(attribution), fontsize=_SIZE_SMALL, color=TEXT)
    told = drawing.LEGEND if attribution.verdict is None else drawing.VERDICT_LEGEND
    told = told.replace(", underlined and !", "")
    literally(axes.text(_MARGIN, below + _SMALL, "", va="center"), text=told, fontsize=_SIZE_SMALL - 2, color=MUTED)


def _colour(attribution: Attribution, token: Token, value: float | None, limit: float) -> str | None:
    if attribution.verdict is not None:
        return None if token.verdict not in drawing.VERDICTS else figure_scores.verdict_colour(token.verdict)
    if not value:
        return None
    red, green, blue = (round(255 + 0.7 * value / limit * (part - 255)) for part in drawing.BLUE)
    return hex_colour((red, green, blue))

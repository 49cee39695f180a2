"""The figure of an attribution: the picture, and every token with its scores in reading order."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import FigureBase
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from PIL import Image

from causal_attrib.io.pictures import ImageLike
from causal_attrib.results.attribution import Attribution, Token
from causal_attrib.views import drawing
from causal_attrib.views.figure import MUTED, RULE, TEXT, Plot, hex_colour, literally, new_plot
from causal_attrib.views.picture import scored_picture

_EFFECTS, _NATS = ("necessity", "sufficiency", "causal_completeness"), ("logprob", "entropy")
_BLUE, _RED, _AMBER = hex_colour(drawing.BLUE), hex_colour(drawing.RED), "#be690a"
# Inches: the text width of most journals, and what one token and one line of tokens take up.
_WIDTH, _PICTURE, _TOKEN, _LINE = 7.2, 1.7, 0.21, 1.75


def plot_scores(attribution: Attribution, picture: ImageLike | None = None) -> Plot:
    """Bars for necessity, circles for sufficiency, ticks for causal completeness; below, how likely and how sure.

    A long caption goes on in further lines, all on one scale. What was not scored is left out.

    Args:
        picture: the image file, as path or bytes, if it is no longer where it was when it was scored.
    """
    pixels = scored_picture(attribution.image, picture)
    plot = new_plot(_WIDTH, height_of(attribution, pixels))
    draw_scores(plot, attribution, pixels)
    return plot


def height_of(attribution: Attribution, pixels: Image.Image | None) -> float:
    """Inches that `draw_scores` takes."""
    lines, panels = _lines(attribution, pixels), _panels(attribution)
    return 0.5 + _LINE * len(lines) * (0.55 + 0.45 * len(panels))


def draw_scores(plot: FigureBase, attribution: Attribution, pixels: Image.Image | None) -> None:
    """The picture and the scores on an empty figure, or on a part of one."""
    room = _WIDTH - (_PICTURE if pixels else 0) - 0.7
    per_line = _per_line(pixels)
    tokens, marks = attribution.tokens, drawing.marked(attribution)
    lines, panels = _lines(attribution, pixels), _panels(attribution)
    grid = plot.add_gridspec(1, 2 if pixels else 1, width_ratios=[_PICTURE, room] if pixels else None)
    if pixels:
        pixels.thumbnail((600, 600))
        _picture(plot.add_subplot(grid[0, 0]), pixels)
    shares = [2, 1][: len(panels)] * len(lines)
    inner = grid[0, -1].subgridspec(len(shares), 1, height_ratios=shares)
    for row in range(len(shares)):
        names, line = panels[row % len(panels)], lines[row // len(panels)]
        axes = plot.add_subplot(inner[row])
        _frame(axes, min(per_line, len(tokens)), _limits(tokens, names), in_nats=names == _present(tokens, _NATS))
        for name in names:
            _DRAWN[name](axes, [(at, token) for at, token in enumerate(line) if getattr(token, name) is not None])
        _label(axes, line, marks, row % len(panels) == len(panels) - 1)
    kinds = {token.verdict for token in tokens} if attribution.verdict is not None else set()
    _legend(plot, [name for names in panels for name in names], [kind for kind in drawing.VERDICTS if kind in kinds])


def _per_line(pixels: Image.Image | None) -> int:
    return max(1, int((_WIDTH - (_PICTURE if pixels else 0) - 0.7) / _TOKEN))


def _lines(attribution: Attribution, pixels: Image.Image | None) -> list[Sequence[Token]]:
    tokens, per_line = attribution.tokens, _per_line(pixels)
    return [tokens[at : at + per_line] for at in range(0, len(tokens), per_line)] or [()]


def _panels(attribution: Attribution) -> list[tuple[str, ...]]:
    tokens = attribution.tokens
    return [names for names in (_present(tokens, _EFFECTS), _present(tokens, _NATS)) if names] or [()]


def _present(tokens: Sequence[Token], names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in names if any(getattr(token, name) is not None for token in tokens))


def _limits(tokens: Sequence[Token], names: tuple[str, ...]) -> tuple[float, float]:
    values = [value for token in tokens for name in names if (value := getattr(token, name)) is not None]
    low, high = min([0.0, *values]), max([drawing.SMALLEST_SCALE, *values])
    room = 0.06 * (high - low)
    return low - (room if low else 0), high + room


def _values(placed: list[tuple[int, Token]], name: str) -> list[float]:
    return [float(getattr(token, name)) for _, token in placed]


def _necessity(axes: Axes, placed: list[tuple[int, Token]]) -> None:
    places, values = [at for at, _ in placed], _values(placed, "necessity")
    axes.bar(places, values, width=0.62, color=[_RED if value < 0 else _BLUE for value in values], zorder=2)


def _sufficiency(axes: Axes, placed: list[tuple[int, Token]]) -> None:
    places, values = [at for at, _ in placed], _values(placed, "sufficiency")
    errors = [token.sufficiency_se or 0.0 for _, token in placed]
    style: dict[str, Any] = {"mfc": "white", "mec": TEXT, "mew": 0.9, "ms": 4.2, "ecolor": TEXT, "elinewidth": 0.9}
    axes.errorbar(places, values, yerr=errors if any(errors) else None, fmt="o", zorder=4, **style)


def _completeness(axes: Axes, placed: list[tuple[int, Token]]) -> None:
    places, values = [at for at, _ in placed], _values(placed, "causal_completeness")
    axes.plot(places, values, "_", color=TEXT, ms=8, mew=1.6, zorder=3)


def _logprob(axes: Axes, placed: list[tuple[int, Token]]) -> None:
    axes.bar([at for at, _ in placed], _values(placed, "logprob"), width=0.62, color=_AMBER, zorder=2)


def _entropy(axes: Axes, placed: list[tuple[int, Token]]) -> None:
    axes.plot([at for at, _ in placed], _values(placed, "entropy"), "^", color=MUTED, ms=3.6, zorder=3)


_DRAWN = {
    "necessity": _necessity,
    "sufficiency": _sufficiency,
    "causal_completeness": _completeness,
    "logprob": _logprob,
    "entropy": _entropy,
}


def _frame(axes: Axes, count: int, limits: tuple[float, float], in_nats: bool) -> None:
    axes.set_xlim(-0.6, max(count, 1) - 0.4)
    axes.set_ylim(*limits)
    axes.axhline(0, color=MUTED, lw=0.7, zorder=1)
    axes.grid(axis="y", color=RULE, lw=0.5, zorder=0)
    axes.set_axisbelow(True)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelsize=7, labelcolor=MUTED)
    axes.set_ylabel("nats" if in_nats else "change of outcome", fontsize=7, color=MUTED)


def _label(axes: Axes, line: Sequence[Token], marks: Collection[int], is_lowest: bool) -> None:
    axes.set_xticks(range(len(line)))
    names = [drawing.visible(token.text.strip() or token.text) for token in line]
    # Set without text first: what matplotlib is given here it would read as a formula.
    for text, name, token in zip(axes.set_xticklabels([""] * len(line)), names, line, strict=True):
        literally(text, fontsize=8, rotation=55, ha="right", va="top", rotation_mode="anchor")
        if is_lowest:
            text.set_text(name)
        if token.index in marks:
            text.set(color=_RED, fontweight="bold")
        if is_lowest and token.verdict in drawing.VERDICTS:
            pad = {"boxstyle": "square,pad=0.1", "lw": 0}
            text.set_bbox({"facecolor": verdict_colour(token.verdict), "alpha": 0.6, **pad})
    axes.xaxis.set_major_formatter(lambda place, _: names[int(place)] if is_lowest and 0 <= place < len(names) else "")


def _picture(axes: Axes, pixels: Image.Image) -> None:
    axes.imshow(pixels)
    axes.set_axis_off()
    axes.set_anchor("N")


def verdict_colour(verdict: str) -> str:
    """The colour of a verdict as it lies on white."""
    tint = drawing.VERDICTS[verdict]
    red, green, blue = (round(255 + tint.strength * (part - 255)) for part in tint.colour)
    return hex_colour((red, green, blue))


def _legend(plot: FigureBase, names: list[str], verdicts: list[str]) -> None:
    keys: dict[str, list[tuple[Artist, str]]] = {
        "necessity": [(Patch(color=_BLUE), "necessity"), (Patch(color=_RED), "necessity < 0: better without it")],
        "sufficiency": [(Line2D([], [], ls="", marker="o", mfc="white", mec=TEXT, ms=4.2), "sufficiency")],
        "causal_completeness": [(Line2D([], [], ls="", marker="_", color=TEXT, ms=8, mew=1.6), "causal completeness")],
        "logprob": [(Patch(color=_AMBER), "log-probability")],
        "entropy": [(Line2D([], [], ls="", marker="^", color=MUTED, ms=3.6), "entropy")],
    }
    shown = [key for name in names for key in keys[name]]
    shown += [(Patch(color=verdict_colour(verdict), alpha=0.6), verdict) for verdict in verdicts]
    if shown:
        handles, labels = zip(*shown, strict=True)
        plot.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=7, frameon=False, labelcolor=TEXT)

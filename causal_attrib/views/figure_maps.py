"""The figure of maps: the picture, and a panel per word with its map on it, all on one scale that a bar explains."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import FigureBase
from PIL import Image

from causal_attrib.errors import InputError
from causal_attrib.io.pictures import ImageLike
from causal_attrib.views import drawing, overlay
from causal_attrib.views.figure import MUTED, RULE, TEXT, Plot, hex_colour, literally, new_plot
from causal_attrib.views.picture import scored_picture

if TYPE_CHECKING:
    from causal_attrib.results.maps import Maps

_WIDTH = 7.2
# Enough for 300 dots per inch in a panel as wide as a column of a page.
_PIXELS = 900
# Inches of the curves of a proof.
_CURVE = 0.8
_CURVES = {"deletion": hex_colour(drawing.RED), "insertion": hex_colour(drawing.BLUE)}
# What `evaluation.faithfulness.curves` says of a map that needs no mark.
_PROVED = "beats chance"


def plot_maps(maps: Maps, picture: ImageLike | None = None, *, columns: int = 5, own_scale: bool = False) -> Plot:
    """Every map over its picture. Choose words first, as in `maps["dog"]` or `maps[1:4]`.

    Args:
        picture: the image file, as path or bytes, if it is no longer where it was when it was scored. Where there is
            none, the maps are drawn on white.
        columns: at most so many panels side by side, the picture's included.
        own_scale: full colour at each map's own largest magnitude, and not at that of them all; each panel then says
            its own.

    Raises:
        InputError: there is no map, no column, or the picture is another one.
    """
    if not len(maps):
        raise InputError("There is no map to draw; choose at least one.")
    if columns < 1:
        raise InputError(f"A figure of {columns} columns cannot be drawn; give 1 or more.")
    return draw_maps(maps, scored_picture(maps.image, picture), columns=columns, own_scale=own_scale)


def draw_maps(maps: Maps, pixels: Image.Image | None, *, columns: int = 5, own_scale: bool = False) -> Plot:
    """`plot_maps` on pixels that are known to be what the maps are of; None is white."""
    plot = new_plot(_WIDTH, height_of(maps, pixels, columns))
    draw_panels(plot, maps, pixels, columns=columns, own_scale=own_scale)
    return plot


def height_of(maps: Maps, pixels: Image.Image | None, columns: int = 5) -> float:
    """Inches that `draw_panels` takes."""
    ground = _blank(maps) if pixels is None else pixels
    rows, columns = _grid(maps, pixels, columns)
    side = (_WIDTH - 0.6) / columns
    heading = 0.42 if any(_marks(maps)) else 0.28
    return rows * (side * ground.height / ground.width + heading + _CURVE * _has_curves(maps)) + 0.1


def draw_panels(
    plot: FigureBase, maps: Maps, pixels: Image.Image | None, *, columns: int = 5, own_scale: bool = False
) -> None:
    """The panels on an empty figure, or on a part of one. Below a map that was put to the proof are its curves."""
    ground = _blank(maps) if pixels is None else pixels.copy()
    ground.thumbnail((_PIXELS, _PIXELS))
    limits = [overlay.full_colour(map_HW if own_scale else maps.values_THW) for map_HW in maps.values_THW]

    panels = len(maps) + (pixels is not None)
    rows, columns = _grid(maps, pixels, columns)
    marks, curves = _marks(maps), _has_curves(maps)
    share = (_WIDTH - 0.6) / columns * ground.height / ground.width
    cells = plot.subplots(
        rows * (1 + curves), columns, squeeze=False, height_ratios=[share, _CURVE][: 1 + curves] * rows
    )
    grid = cells[:: 1 + curves].ravel()
    for axes in cells.ravel():
        axes.set_axis_off()
    if pixels is not None:
        _panel(grid[0], ground, "the picture")
    for at, (axes, limit) in enumerate(zip(grid[panels - len(maps) :], limits, strict=False)):
        said = drawing.visible(maps.labels[at].strip() or maps.labels[at])
        (shown,) = overlay.overlay(ground, maps[at], limit)
        _panel(axes, shown, (f"{said} (±{limit:.2g})" if own_scale else said) + marks[at])
    if curves:
        for axes, proof in zip(cells[1::2].ravel()[panels - len(maps) :], maps.proofs, strict=False):
            if "curves" in proof:
                _curves(axes, proof["curves"])
    _scale(plot, grid, None if own_scale else limits[0], overlay.described(maps))


def _grid(maps: Maps, pixels: Image.Image | None, columns: int) -> tuple[int, int]:
    panels = len(maps) + (pixels is not None)
    rows = -(-panels // columns)
    return rows, -(-panels // rows)


def _has_curves(maps: Maps) -> bool:
    return any("curves" in proof for proof in maps.proofs)


def _curves(axes: Axes, curves: dict[str, list[float]]) -> None:
    """Log-probability of the word as the map's highest cells are hidden, and as they are shown."""
    axes.set_axis_on()
    for (name, colour), values in zip(_CURVES.items(), (curves["deletion"], curves["insertion"]), strict=True):
        axes.plot(np.linspace(0, 1, len(values)), values, color=colour, lw=1.1, label=name)
    axes.spines[:].set_visible(False)
    axes.grid(color=RULE, lw=0.5)
    axes.tick_params(length=0, labelsize=6, labelcolor=MUTED)
    axes.set_xticks([0, 1], labels=["0", "all cells"])
    axes.legend(fontsize=6, frameon=False, labelcolor=TEXT, handlelength=1)


def _marks(maps: Maps) -> list[str]:
    """A second line for each map that was put to the proof and failed it."""
    verdicts = [proof.get("verdict", _PROVED) for proof in maps.proofs] or [_PROVED] * len(maps)
    return ["" if verdict == _PROVED else f"\n({verdict})" for verdict in verdicts]


def _blank(maps: Maps) -> Image.Image:
    _, height, width = maps.values_THW.shape
    shape = (maps.image.get("width") or 32 * width, maps.image.get("height") or 32 * height)
    return Image.new("RGB", shape, "white")


def _panel(axes: Axes, pixels: Image.Image, title: str) -> None:
    axes.imshow(np.asarray(pixels))
    literally(axes.set_title("", pad=3), text=title, fontsize=8)


def _scale(plot: FigureBase, grid: np.ndarray, limit: float | None, what: str) -> None:
    """The bar of colours, as they look on the grey of a picture; without numbers where each panel has its own scale."""
    steps = np.linspace(-1, 1, 255)
    over = Image.alpha_composite(
        Image.new("RGBA", (255, 1), (228, 228, 228, 255)), Image.fromarray(overlay.tint(steps[None], 1.0))
    )
    colours = ListedColormap(np.asarray(over.convert("RGB"))[0] / 255)
    bar = plot.colorbar(ScalarMappable(Normalize(-1, 1), colours), ax=list(grid), fraction=0.03, pad=0.015, aspect=28)
    ends = ("full", "full") if limit is None else (f"−{limit:.2g}", f"{limit:.2g}")
    bar.set_ticks([-1, 0, 1], labels=[ends[0], "0", ends[1]])
    bar.ax.tick_params(length=0, labelsize=7, labelcolor=MUTED)
    bar.outline.set_visible(False)
    bar.set_label("against the word        for the word", fontsize=7, color=MUTED)
    literally(plot.supxlabel(""), text=what, fontsize=7, color=MUTED)

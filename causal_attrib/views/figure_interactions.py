"""The figure of interactions: a square per pair of an earlier and a later word."""

from __future__ import annotations

import numpy as np
from matplotlib.colors import LinearSegmentedColormap

from causal_attrib.results.interactions import Interactions
from causal_attrib.views import drawing
from causal_attrib.views.figure import MUTED, Plot, hex_colour, literally, new_plot

_CELL, _ROOM, _MOST = 0.32, 1.6, 12.0


def plot_interactions(interactions: Interactions) -> Plot:
    """Blue: the earlier word (row) speaks for the later one (column); red: against it; nothing where it cannot."""
    names = [drawing.visible(label.strip() or label) for label in interactions.labels]
    side = min(_MOST, _ROOM + _CELL * max(1, len(names)))
    plot = new_plot(side + 0.6, side)
    axes = plot.subplots()
    values_UV = interactions.values_UV
    limit = float(np.nanmax(np.abs(values_UV), initial=0.0)) if np.isfinite(values_UV).any() else 0.0
    colours = LinearSegmentedColormap.from_list("copo", [hex_colour(drawing.RED), "white", hex_colour(drawing.BLUE)])
    shown = axes.imshow(values_UV, cmap=colours, vmin=-(limit or 1.0), vmax=limit or 1.0)
    places = range(len(names))
    axes.set_xticks(places, [""] * len(names))
    axes.set_yticks(places, [""] * len(names))
    for labels, rotation in ((axes.get_xticklabels(), 55), (axes.get_yticklabels(), 0)):
        for text, name in zip(labels, names, strict=True):
            literally(text, fontsize=8, rotation=rotation, ha="right", rotation_mode="anchor")
            text.set_text(name)
    axes.xaxis.set_major_formatter(lambda place, _: names[int(place)] if 0 <= place < len(names) else "")
    axes.yaxis.set_major_formatter(lambda place, _: names[int(place)] if 0 <= place < len(names) else "")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_ylabel("hidden", fontsize=8, color=MUTED)
    axes.set_xlabel("later word", fontsize=8, color=MUTED)
    bar = plot.colorbar(shown, ax=axes, shrink=0.7)
    bar.ax.tick_params(length=0, labelsize=7, labelcolor=MUTED)
    bar.outline.set_visible(False)
    bar.set_label("nats that the later word loses", fontsize=7, color=MUTED)
    return plot

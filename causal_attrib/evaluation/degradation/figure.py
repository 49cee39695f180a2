"""The figure of a degradation study: accuracy and entropy against severity, a panel per mode and degradation."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from causal_attrib.evaluation.degradation.curves import CurveChange
from causal_attrib.evaluation.degradation.pictures import KINDS, WORST

# Blue and vermilion of Okabe & Ito (2008), which stay apart for the colour-blind; the marks differ as well.
_ACCURACY, _ENTROPY = {"color": "#0072B2", "marker": "o"}, {"color": "#D55E00", "marker": "s"}


def figure(curves: pd.DataFrame, changes: Sequence[CurveChange]) -> bytes:
    """A PNG: rows are modes, columns degradations; bands are 95 % intervals, and a panel with the trap says so.

    Entropy has one scale in each row, on which a small change may not be seen, so it is written out.
    """
    modes = list(dict.fromkeys(curves["mode"]))
    height = 0.9 + 1.9 * len(modes)
    plot = Figure(figsize=(9.6, height))
    # In inches; matplotlib's own layout takes many seconds for so many axes.
    plot.subplots_adjust(0.06, 0.5 / height, 0.95, 1 - 0.75 / height, wspace=0.12, hspace=0.35)
    panels = plot.subplots(len(modes), len(KINDS), sharex=True, squeeze=False)
    change_of = {(change.mode, change.degradation): change for change in changes}
    for row, mode in enumerate(modes):
        of_mode = curves[curves["mode"] == mode]
        highest = 1.05 * np.nanmax([of_mode.entropy_high.max(), of_mode.entropy.max(), 0.01])
        for column, kind in enumerate(KINDS):
            axes, right = panels[row][column], panels[row][column].twinx()
            part = of_mode[of_mode.degradation == kind]
            _line(axes, part, "accuracy", _ACCURACY)
            _line(right, part, "entropy", _ENTROPY)
            axes.set(ylim=(-3, 103), xticks=range(WORST + 1), yticks=(0, 50, 100))
            right.set(ylim=(-0.03 * highest, highest))
            right.xaxis.set_visible(False)
            right.yaxis.set_major_locator(MaxNLocator(3))
            change = change_of[mode, kind]
            title = f"{mode}, {kind}" + (": trap" if change.is_trap else ": no warning" if change.no_warning else "")
            if change.entropy.value is not None:
                title += f"\nentropy {change.entropy.value:+.3f} nats"
            axes.set_title(title, fontsize=8, fontweight="bold" if change.is_trap else "normal")
            axes.tick_params(labelsize=8, labelleft=column == 0)
            right.tick_params(labelsize=8, labelright=column == len(KINDS) - 1)
    plot.supxlabel("severity", fontsize=9)
    handles = [*panels[0][0].lines, *plot.axes[len(modes) * len(KINDS)].lines]
    plot.legend(handles, ["accuracy, % (left)", "entropy, nats (right)"], loc="upper center", ncols=2, fontsize=9)
    sink = io.BytesIO()
    # No date or version, so that the same curves are the same bytes.
    plot.savefig(sink, format="png", dpi=150, metadata={"Software": None})
    return sink.getvalue()


def _line(axes: Axes, part: pd.DataFrame, name: str, style: dict) -> None:
    axes.plot(part.severity, part[name], markersize=3.5, linewidth=1.4, **style)
    axes.fill_between(
        part.severity, part[f"{name}_low"], part[f"{name}_high"], color=style["color"], alpha=0.2, linewidth=0
    )

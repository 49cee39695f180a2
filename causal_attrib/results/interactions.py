"""Which earlier word moved which later word."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


@dataclass(frozen=True, eq=False)
class Interactions:
    """By how many nats a later word becomes less likely when an earlier one is hidden.

    labels:    the words (or tokens), U of them
    values_UV: float64; row u is the word that is hidden, column v the one that is read: log p(v | all before it) less
               log p(v | the same with u hidden). Positive: u speaks for v. NaN for v up to u, which cannot be moved
    caption, level, mask: what was read and how
    """

    labels: tuple[str, ...]
    values_UV: np.ndarray
    caption: str
    level: str
    mask: str

    def to_frame(self) -> pd.DataFrame:
        """A pandas frame with the hidden word as its index and the later one as its columns."""
        import pandas as pd

        names = [label.strip() or label for label in self.labels]
        return pd.DataFrame(self.values_UV, index=pd.Index(names, name="hidden"), columns=names)

    def plot(self) -> Figure:
        """A square per pair, blue where the earlier word speaks for the later one, red where against it."""
        from causal_attrib import views

        return views.plot_interactions(self)

    def _repr_png_(self) -> bytes:
        return self.plot()._repr_png_()  # type: ignore[attr-defined]  # of views.figure

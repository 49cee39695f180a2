"""The result of `saliency`: one signed map over the picture for each token, word or answer.

`Maps` is immutable, slices like a sequence, and loads again from what it was saved to:

>>> import numpy as np
>>> from causal_attrib.results.maps import Maps
>>> values_THW = np.array([[[0.0, 1.0]], [[2.0, -1.0]]], dtype=np.float32)
>>> maps = Maps(values_THW, ("a", " dog"), ((0,), (1,)), "occlusion", "region", "logprob", caption="a dog")
>>> maps
Maps('a dog', 2 maps of 1 x 2, occlusion)
>>> maps["dog"].values_THW
array([[[ 2., -1.]]], dtype=float32)
>>> maps[1].at_size(4, 2)[0]
array([[ 2.,  2., -1., -1.],
       [ 2.,  2., -1., -1.]], dtype=float32)

Axes: T maps, H rows and W columns of the map's grid.
"""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from causal_attrib.errors import InputError
from causal_attrib.io.atomic import replace_file
from causal_attrib.io.parsing import shown
from causal_attrib.io.pictures import pixel_limit
from causal_attrib.io.text_files import as_path
from causal_attrib.results.formats import format_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from causal_attrib.io.pictures import ImageLike

SCHEMA = 1
# All metadata in one string: several would be written in an order that changes from run to run.
_KEY = "copo"


@dataclass(frozen=True, eq=False, repr=False)
class Maps:
    """Signed maps over one picture, with everything needed to tell what they mean and to make them again.

    values_THW: float32; positive speaks for the target, negative against it. The grid covers the whole picture, with
                row 0 at the top
    labels:     what each map is of: the text of the token, word or answer
    tokens:     indices of the response tokens that each map is of; () for the answer
    method:     gradient, gradient_x_input, smoothgrad, integrated_gradients, occlusion, regions or attention
    level:      what was changed or differentiated: "pixel", "embedding" (image tokens) or "region"
    target:     "logprob", "answer" or "foil"
    foil:       the word or answer that the target is set against, if any
    image, model, tool: records as in `Attribution`
    settings:   every choice that matters
    proofs:     one per map, or none: what was found about the faithfulness of each

    Raises:
        InputError: a value is NaN or infinite, as happens with broken weights or a dtype that overflows.
    """

    values_THW: np.ndarray
    labels: tuple[str, ...]
    tokens: tuple[tuple[int, ...], ...]
    method: str
    level: str
    target: str
    foil: str | None = None
    caption: str = ""
    image: dict = field(default_factory=dict)
    model: dict = field(default_factory=dict)
    settings: dict = field(default_factory=dict)
    tool: dict = field(default_factory=dict)
    proofs: tuple[dict, ...] = ()

    def __post_init__(self) -> None:
        values_THW = np.array(self.values_THW, dtype=np.float32)
        if values_THW.ndim != 3 or not len(values_THW) == len(self.labels) == len(self.tokens):
            raise ValueError(f"{values_THW.shape} values for {len(self.labels)} labels and {len(self.tokens)} tokens")
        if self.proofs and len(self.proofs) != len(values_THW):
            raise ValueError(f"{len(self.proofs)} proofs for {len(values_THW)} maps")
        if not np.isfinite(values_THW).all():
            raise InputError(
                "The map has values that are no numbers: the model's weights are broken or its dtype overflows, so "
                "check the checkpoint or try float32."
            )
        values_THW.flags.writeable = False
        object.__setattr__(self, "values_THW", values_THW)
        object.__setattr__(self, "labels", tuple(self.labels))
        object.__setattr__(self, "tokens", tuple(tuple(group) for group in self.tokens))
        for name in ("image", "model", "settings", "tool", "proofs"):
            # A copy that is what it will be when loaded again: tuples are lists, and what JSON cannot hold fails here.
            copied = json.loads(json.dumps(getattr(self, name), allow_nan=False))
            object.__setattr__(self, name, tuple(copied) if name == "proofs" else copied)

    # Reading

    def __len__(self) -> int:
        return len(self.values_THW)

    def __repr__(self) -> str:
        caption = self.caption if len(self.caption) <= 60 else f"{self.caption[:57]}..."
        _, height, width = self.values_THW.shape
        return f"Maps({caption!r}, {len(self)} map{'s' * (len(self) != 1)} of {height} x {width}, {self.method})"

    def __getitem__(self, what: int | slice | str) -> Maps:
        """`maps["dog"]` is the first map of that label, `maps[3]` the fourth, `maps[1:4]` three: always a `Maps`.

        Raises:
            KeyError: no such label; the message names the labels there are.
            IndexError: no such place.
        """
        if isinstance(what, str):
            names = [label.strip() for label in self.labels]
            if what.strip() not in names:
                raise KeyError(f"there is no map of {what!r}; there are: {', '.join(dict.fromkeys(names))}")
            what = names.index(what.strip())
        chosen = range(len(self))[what]
        indices = list(chosen) if isinstance(chosen, range) else [chosen]
        return replace(
            self,
            values_THW=self.values_THW[indices],
            labels=tuple(self.labels[i] for i in indices),
            tokens=tuple(self.tokens[i] for i in indices),
            proofs=tuple(self.proofs[i] for i in indices) if self.proofs else (),
            settings=self._settings_of(indices),
        )

    def at_size(self, width: int, height: int) -> np.ndarray:
        """The values resized to a picture, float32 (T, height, width).

        Pixel maps are interpolated; the cells of the others keep their edges.

        Raises:
            InputError: a side is no whole number from 1 up, or they are more pixels than a picture may have.
        """
        for what, side in (("width", width), ("height", height)):
            if not isinstance(side, Integral) or isinstance(side, bool) or side < 1:
                raise InputError(f"The {what} is {shown(side)}, but it must be a whole number from 1 up.")
        if width * height > pixel_limit():
            raise InputError(f"{width} x {height} pixels are more than the limit of {pixel_limit():,}; take fewer.")
        width, height = int(width), int(height)
        how = Image.Resampling.BILINEAR if self.level == "pixel" else Image.Resampling.NEAREST
        return np.stack(
            [np.asarray(Image.fromarray(map_HW).resize((width, height), how)) for map_HW in self.values_THW]
        )

    # Saving and loading

    def plot(self, picture: ImageLike | None = None, *, columns: int = 5, own_scale: bool = False) -> Figure:
        """A panel per map over the picture, all on one scale; `.savefig("maps.pdf")` saves it as vector graphics.

        Args:
            picture: the image file, as path or bytes, if it is no longer where it was.
            columns: panels in a row.
            own_scale: give each map a scale of its own.
        """
        from causal_attrib import views

        return views.plot_maps(self, picture, columns=columns, own_scale=own_scale)

    def _repr_png_(self) -> bytes:
        return self.plot()._repr_png_()  # type: ignore[attr-defined]  # of views.figure

    def to_dict(self) -> dict[str, Any]:
        """The maps as JSON has them: every field, `values` being a list of maps, each a list of rows."""
        record = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "values_THW"}
        return {"schema": SCHEMA, **copy.deepcopy(record), "values": self.values_THW.tolist()}

    def save(self, path: str | os.PathLike) -> None:
        """Write a safetensors file: tensor `maps` (T, H, W), and all else as JSON in its metadata.

        An existing file is replaced, and never left half-written.

        Raises:
            InputError: the path has another suffix than .safetensors, or the path cannot be written.
        """
        from safetensors.numpy import save

        if as_path(path).suffix:
            format_of(path, ("safetensors",), of_stream="safetensors", what_for=" of maps")

        record = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "values_THW"} | {"schema": SCHEMA}
        data = save({"maps": np.ascontiguousarray(self.values_THW)}, metadata={_KEY: json.dumps(record)})
        replace_file(path, data)

    @classmethod
    def load(cls, path: str | os.PathLike) -> Maps:
        """Read what `save` wrote.

        Raises:
            InputError: no such file, not one of ours, damaged, or of a later schema.
        """
        from safetensors import SafetensorError, safe_open

        try:
            with as_path(path).open("rb"):
                pass
        except OSError as error:
            raise InputError(f"{path} cannot be read ({error.strerror}); check the path.") from None
        try:
            with safe_open(str(path), framework="numpy") as opened:
                record = json.loads(opened.metadata()[_KEY])
                values_THW = opened.get_tensor("maps")
            schema = record.pop("schema")
            if schema == SCHEMA:
                return cls(values_THW=values_THW, **record)
        except (SafetensorError, ValueError, KeyError, TypeError, OSError):
            raise InputError(f"{path} holds no maps saved by copo, or it is damaged: make them again.") from None
        raise InputError(
            f"{path} is of schema {schema!r}, and this version of copo reads schema {SCHEMA}: update copo or make it "
            "again."
        )

    def _settings_of(self, indices: Sequence[int]) -> dict:
        """The settings of some of the maps: what is said of each map goes with it."""
        return {
            name: [value[i] for i in indices] if name in PER_MAP else value for name, value in self.settings.items()
        }


# Entries of `settings` that hold one entry per map.
PER_MAP = ("full", "empty", "missing", "standard_error", "smallest")


def sign_disagreement(maps: Sequence[Maps]) -> np.ndarray:
    """Where maps that differ in one choice, such as the baseline, do not agree on the sign.

    A cell disagrees where one map is above zero by more than a hundredth of that map's largest magnitude and another is
    below zero by as much: what is so small is noise.

    Returns:
        Boolean array (T, H, W).

    Raises:
        InputError: the maps are of different words or grids.
    """
    if len({(m.values_THW.shape, m.labels) for m in maps}) != 1:
        raise InputError("Only maps of the same words on the same grid can be compared; make them with one method.")
    values_NTHW = np.stack([m.values_THW for m in maps])
    floor_NT11 = 0.01 * np.abs(values_NTHW).max(axis=(2, 3), keepdims=True)
    return (values_NTHW > floor_NT11).any(0) & (values_NTHW < -floor_NT11).any(0)

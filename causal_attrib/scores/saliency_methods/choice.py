"""What a map is asked for: methods, levels, and the defaults of each (docs/saliency.md has the evidence)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from causal_attrib.errors import InputError
from causal_attrib.io.pictures import ImageLike, read_picture
from causal_attrib.scores.saliency_methods.baselines import BASELINES
from causal_attrib.scores.saliency_methods.inputs import REDUCTIONS
from causal_attrib.scores.saliency_methods.target import KINDS
from causal_attrib.vlm import Encoding

# The levels that each method works at, its default first.
LEVELS = {
    "gradient": ("embedding", "pixel"),
    "gradient_x_input": ("embedding", "pixel"),
    "smoothgrad": ("embedding", "pixel"),
    "integrated_gradients": ("embedding", "pixel"),
    "occlusion": ("region", "embedding"),
    "regions": ("region", "embedding"),
    "attention": ("embedding",),
}
METHODS = tuple(LEVELS)
# Which settings say something of which method; the others are refused or left out of the record.
USED = {
    "gradient": ("reduce", "smooth"),
    "gradient_x_input": ("reduce", "smooth"),
    "smoothgrad": ("reduce", "smooth", "samples", "noise", "seed"),
    "integrated_gradients": ("reduce", "smooth", "baseline", "steps"),
    "occlusion": ("regions", "baseline"),
    "regions": ("regions", "baseline", "samples", "seed", "smallest"),
    "attention": (),
}
# A gradient's sum over features means nothing; a product with the input adds up.
REDUCED = {"gradient": "norm", "smoothgrad": "norm", "gradient_x_input": "sum", "integrated_gradients": "sum"}
BASELINE = {"occlusion": "blur", "regions": "blur", "integrated_gradients": "neutral"}
REGIONS = {"occlusion": "window:1+3", "regions": "grid:4"}
SAMPLES = {"smoothgrad": 16, "regions": 8}
SMOOTH = 0.04


@dataclass(frozen=True)
class Choice:
    """The method's part of the settings; None stands for its default, or for nothing where it has no use for it."""

    method: str
    level: str | None = None
    baseline: str | None = None
    other: ImageLike | None = None
    regions: object = None
    reduce: str | None = None
    smooth: float | None = None
    samples: int | None = None
    steps: int = 32
    noise: float = 0.15
    smallest: float | None = None
    seed: int = 0

    def settled(self) -> Choice:
        """The same with every default filled in.

        Raises:
            InputError: a choice that does not exist, or that the method has no use for.
        """
        one_of("method", self.method, METHODS)
        levels = LEVELS[self.method]
        chosen = replace(
            self,
            level=levels[0] if self.level is None else self.level,
            baseline=self._or_default("baseline", BASELINE),
            regions=self._or_default("regions", REGIONS),
            reduce=self._or_default("reduce", REDUCED),
            samples=self._or_default("samples", SAMPLES),
            smooth=SMOOTH if self.smooth is None else self.smooth,
        )
        one_of(f"level of {self.method}", chosen.level, levels)
        if chosen.baseline is not None:
            one_of("baseline", chosen.baseline, BASELINES)
        if chosen.reduce is not None:
            one_of("reduction", chosen.reduce, REDUCTIONS)
        chosen._check_numbers()
        return chosen

    def record(self, encoding: Encoding) -> dict:
        """What of it goes into the settings; arrays and pictures by what tells them apart."""
        settings = {name: getattr(self, name) for name in USED[self.method] if name != "smallest"}
        if self.level != "pixel":
            settings.pop("smooth", None)
        if "regions" in settings:
            array = isinstance(self.regions, np.ndarray)
            settings["regions"] = f"array {self.regions.shape}" if array else str(self.regions)
        if self.smallest is not None:
            settings["share"] = self.smallest
        if settings.get("baseline") == "swap":
            settings["other"] = read_picture(self.other).record
        return settings

    def _or_default(self, name: str, defaults: dict):
        value = getattr(self, name)
        return defaults.get(self.method) if value is None else value

    def _check_numbers(self) -> None:
        whole = {"samples": (self.samples, 1), "steps": (self.steps, 1), "seed": (self.seed, 0)}
        for what, (value, least) in whole.items():
            if value is not None and not (isinstance(value, int) and value >= least):
                raise InputError(f"{what} is {value!r}, but it must be a whole number from {least} up.")
        for what, value, most in (("noise", self.noise, 10), ("smooth", self.smooth, 1)):
            if not 0 <= value <= most:
                raise InputError(f"{what} is {value}, but it must lie between 0 and {most}.")
        if self.smallest is not None:
            if not 0 < self.smallest < 1:
                raise InputError(
                    f"The share for the smallest regions is {self.smallest}, but it must be within 0 and 1."
                )
            if self.method != "regions":
                raise InputError("The smallest regions are searched by the method regions; take that, or leave it out.")


def check_of(of: str, batch_size: int | str) -> None:
    """Raise an `InputError` unless there are such maps and such batches."""
    one_of("kind of map", of, KINDS)
    if batch_size != "auto" and not (isinstance(batch_size, int) and batch_size >= 1):
        raise InputError(f"The batch size is {batch_size!r}, but it must be a whole number from 1 up, or auto.")


def one_of(what: str, value: str, allowed: Sequence[str]) -> None:
    """Raise an `InputError` that names the choices, unless the value is one of them."""
    if value not in allowed:
        raise InputError(f"There is no {what} {value!r}; choose one of {', '.join(allowed)}.")

"""What a map is asked for: methods, levels, and the defaults of each (docs/saliency.md has the evidence).

The flags of `copo saliency` are made of these fields. No torch and no numpy is imported.
"""

from __future__ import annotations

import os
import re
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from causal_attrib.choices import (
    BASELINES,
    MAP_KINDS,
    MAP_LEVELS,
    METHODS,
    MOST_DRAWN,
    REDUCTIONS,
    Baseline,
    BatchSize,
    MapKind,
    MapLevel,
    Method,
    Reduction,
    check_batch_size,
    check_count,
    check_seed,
    flag_of,
    one_of,
    setting,
)
from causal_attrib.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from causal_attrib.io.pictures import ImageLike

# How a picture is cut: a name or a file (`regions.cut`), or what such a file holds.
RegionsLike: TypeAlias = "str | os.PathLike[str] | np.ndarray"

# The levels that each method works at, its default first.
LEVELS: Mapping[Method, tuple[MapLevel, ...]] = {
    "occlusion": ("region", "embedding"),
    "regions": ("region", "embedding"),
    "integrated_gradients": ("embedding", "pixel"),
    "gradient_x_input": ("embedding", "pixel"),
    "gradient": ("embedding", "pixel"),
    "smoothgrad": ("embedding", "pixel"),
    "attention": ("embedding",),
}
# Which settings say something of which method; the others are refused or left out of the record.
USED: Mapping[Method, tuple[str, ...]] = {
    "gradient": ("reduce", "smooth"),
    "gradient_x_input": ("reduce", "smooth"),
    "smoothgrad": ("reduce", "smooth", "samples", "noise", "seed"),
    "integrated_gradients": ("reduce", "smooth", "baseline", "steps"),
    "occlusion": ("regions", "baseline"),
    "regions": ("regions", "baseline", "samples", "seed", "smallest"),
    "attention": (),
}
# A gradient's sum over features means nothing; a product with the input adds up.
REDUCED: Mapping[Method, Reduction] = {
    "gradient": "norm",
    "smoothgrad": "norm",
    "gradient_x_input": "sum",
    "integrated_gradients": "sum",
}
BASELINE: Mapping[Method, Baseline] = {"occlusion": "blur", "regions": "blur", "integrated_gradients": "neutral"}
REGIONS: Mapping[Method, str] = {"occlusion": "window:1+3", "regions": "grid:4"}
SAMPLES: Mapping[Method, int] = {"smoothgrad": 16, "regions": 8}
SMOOTH = 0.04
# Names of regions (`regions.cut`).
GRID = re.compile(r"grid:(\d{1,9})(?:x(\d{1,9}))?")
WINDOW = re.compile(r"window:(\d{1,9}(?:\+\d{1,9})*)")
# Each region takes a forward at the least.
MOST_REGIONS = 4096

_OWN = "the method's own"


def _either(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"


@dataclass(frozen=True)
class Choice:
    """Which maps are made, and how; None stands for the method's default, or for nothing where it has no use for it."""

    method: Method = setting("occlusion", f"{', '.join(METHODS)}.", metavar="NAME")
    level: MapLevel | None = setting(
        None, f"What a map is over: {_either(MAP_LEVELS)}.", shown=_OWN, metavar="NAME", flag="map-level"
    )
    regions: RegionsLike | None = setting(
        None, "grid:8, patch, window:1+3, or a file of masks.", shown=_OWN, metavar="SPEC"
    )
    baseline: Baseline | None = setting(
        None, f"What a hidden region shows: {', '.join(BASELINES)}.", shown=_OWN, metavar="NAME"
    )
    other: ImageLike | None = setting(None, "The image that swap takes from.", metavar="IMAGE")
    reduce: Reduction | None = setting(None, f"How channels or features become one: {_either(REDUCTIONS)}.", shown=_OWN)
    smooth: float | None = setting(
        None, "Width of the blur of pixel maps, as a share of the longer side.", shown=str(SMOOTH)
    )
    samples: int | None = setting(
        None,
        "Noisy copies (smoothgrad) or pairs of orders (regions).",
        shown=_OWN,
        metavar="N",
        flag="map-samples",
    )
    steps: int = setting(32, "Steps of the integral (integrated_gradients).", metavar="N")
    noise: float = setting(0.15, "Noise (smoothgrad), as a share of the input's range.")
    smallest: float | None = setting(None, "Also the smallest regions of this share of the effect (regions).")
    seed: int = setting(0, "Seed of everything random.")
    of: MapKind = setting("word", f"A map per {_either(MAP_KINDS)}.", metavar="NAME")
    batch_size: BatchSize = setting("auto", "Pictures per forward pass, or auto.", metavar="N")

    def settled(self) -> SettledChoice:
        """The same with every default filled in.

        Raises:
            InputError: a choice that does not exist, or that the method has no use for.
        """
        one_of("method", self.method, METHODS)
        method, levels = self.method, LEVELS[self.method]
        chosen = SettledChoice(
            method=method,
            level=levels[0] if self.level is None else self.level,
            regions=REGIONS.get(method, "grid:4") if self.regions is None else self.regions,
            baseline=self.baseline or BASELINE.get(method, "neutral"),
            other=self.other,
            reduce=self.reduce or REDUCED.get(method, "norm"),
            smooth=SMOOTH if self.smooth is None else self.smooth,
            samples=SAMPLES.get(method, 1) if self.samples is None else self.samples,
            steps=self.steps,
            noise=self.noise,
            smallest=self.smallest,
            seed=self.seed,
            of=self.of,
            batch_size=self.batch_size,
        )
        one_of(f"level of {method}", chosen.level, levels)
        one_of("baseline", chosen.baseline, BASELINES)
        one_of("reduction", chosen.reduce, REDUCTIONS)
        chosen._check_numbers()
        if "regions" in USED[method]:
            check_regions(chosen.regions)
        if "baseline" in USED[method]:
            check_other(chosen.baseline, chosen.other)
        check_of(self.of, self.batch_size)
        return chosen


@dataclass(frozen=True, kw_only=True)
class SettledChoice(Choice):
    """A choice without gaps; what the method has no use for is in it too, and says nothing."""

    level: MapLevel
    regions: RegionsLike
    baseline: Baseline
    reduce: Reduction
    smooth: float
    samples: int

    def record(self) -> dict[str, Any]:
        """What of it goes into the settings; arrays and pictures by what tells them apart."""
        settings = {name: getattr(self, name) for name in USED[self.method] if name != "smallest"}
        if self.level != "pixel":
            settings.pop("smooth", None)
        if "regions" in settings:
            if isinstance(self.regions, (str, os.PathLike)):
                settings["regions"] = str(self.regions)
            else:
                settings["regions"] = f"array {self.regions.shape}"
        if self.smallest is not None:
            settings["share"] = self.smallest
        if settings.get("baseline") == "swap" and self.other is not None:
            from causal_attrib.io.pictures import read_picture

            settings["other"] = read_picture(self.other).record
        return settings

    def _check_numbers(self) -> None:
        for what, count in (("samples", self.samples), ("steps", self.steps)):
            check_count(what, count, MOST_DRAWN)
        check_seed(self.seed)
        for what, value, most in (("noise", self.noise, 10), ("smooth", self.smooth, 1)):
            if not (isinstance(value, Real) and 0 <= value <= most):
                raise InputError(f"{what} is {value!r:.40}, but it must lie between 0 and {most}.")
        if self.smallest is not None:
            if not (isinstance(self.smallest, Real) and 0 < self.smallest < 1):
                raise InputError(
                    f"The share for the smallest regions is {self.smallest}, but it must be within 0 and 1."
                )
            if self.method != "regions":
                raise InputError("The smallest regions are searched by the method regions; take that, or leave it out.")


def check_used(method: Method, given: Mapping[str, object], *, proof: bool = False) -> None:
    """Raise an `InputError` for a setting that is given (not None) and that the method has no use for.

    Args:
        proof: whether maps are proved too, which hides cells by the baseline whatever the method.
    """
    of_proof = ("baseline", "other") if proof else ()
    of_method = USED.get(method, ()) + (("other",) if given.get("baseline") == "swap" else ())
    for name in ("regions", "baseline", "other", "samples"):
        if given.get(name) is not None and name not in of_method + of_proof:
            others = [one for one in METHODS if name in USED[one]]
            remedy = "add --baseline swap" if name == "other" else f"it is for {', '.join(others)}"
            flag = flag_of(Choice, name)
            raise InputError(f"The method {method} has no use for {flag}; leave it out ({remedy}).")


def check_words(of: str, words: str | Sequence[str] | None, foil: str | None, caption: str | None = None) -> None:
    """Raise an `InputError` unless such words of a caption can be set against a foil, or mapped at all.

    Args:
        caption: in which they must stand, if it is known.
    """
    listed = words is None or isinstance(words, str | list | tuple | set)
    if not listed or not all(isinstance(word, str) for word in words or ()):
        raise InputError(f"The words are {words!r:.40}; give a string, or a list of strings.")
    if foil is not None and not isinstance(foil, str):
        raise InputError(f"The foil is {foil!r:.40}; give a string.")
    if foil is not None and not foil.strip():
        raise InputError("The foil is empty; give the word that might have stood there instead.")
    if of == "answer":
        if words is not None:
            raise InputError("Words are chosen for maps of words; leave them out for a map of the answer.")
        return
    if foil is not None and of == "token":
        raise InputError("A foil takes the place of a whole word; ask for maps of words (of='word').")
    if foil is not None and words is None:
        raise InputError("A foil needs the word that it might replace; name it (words='dog', foil='cat').")
    if words is not None and caption is not None:
        missing = next(
            (word for word in words_named(words) or [""] if plain_word(word) not in caption.casefold()), None
        )
        if missing is not None:
            raise InputError(f"{missing!r} is not a word of the caption; name one that is.")


def words_named(words: str | Sequence[str]) -> list[str]:
    """The words of a list, or of a string with several."""
    return re.split(r"[\s,]+", words.strip()) if isinstance(words, str) else list(words)


def plain_word(word: str) -> str:
    """A word by which words of a caption are found: without case, and without marks around it."""
    word = word.strip().casefold()
    return word.strip(string.punctuation) or word


def check_of(of: str, batch_size: int | str) -> None:
    """Raise an `InputError` unless there are such maps and such batches."""
    one_of("kind of map", of, MAP_KINDS)
    check_batch_size(batch_size)


def check_regions(spec: RegionsLike) -> None:
    """Raise an `InputError` unless it is a name of regions, a file that is there, or what such a file holds."""
    if not isinstance(spec, (str, os.PathLike)):
        if not hasattr(spec, "shape"):
            raise InputError(f"Regions cannot be {spec!r:.40}; give a name, a file, or an array.")
        return
    name = str(spec)
    if grid := grid_of(name):
        rows, columns = grid
        if not 1 <= rows * columns <= MOST_REGIONS:
            raise InputError(
                f"{name} makes {rows * columns:,} regions, and there may be 1 to {MOST_REGIONS:,}, as each takes a "
                "forward; grid:64 is the finest square grid."
            )
        return
    if name == "patch" or WINDOW.fullmatch(name) or Path(spec).exists():
        return
    if ":" in name:
        raise InputError(f"There are no regions {name!r:.60}; take grid:8, patch, window:1+3 or a file of masks.")
    raise InputError(f"There is no file {name} of regions; take grid:8, patch, window:1+3 or a file.")


def grid_of(spec: RegionsLike) -> tuple[int, int] | None:
    """(rows, columns) of a grid by its name, or None for other regions.

    >>> grid_of("grid:8"), grid_of("grid:4x6"), grid_of("patch")
    ((8, 8), (4, 6), None)
    """
    match = GRID.fullmatch(spec) if isinstance(spec, str) else None
    return None if match is None else (int(match[1]), int(match[2] or match[1]))


def check_other(baseline: str, other: object) -> None:
    """Raise an `InputError` if there is nothing to swap with."""
    if baseline == "swap" and other is None:
        raise InputError("The baseline swap needs another picture to take regions from; give it by --other (other=).")

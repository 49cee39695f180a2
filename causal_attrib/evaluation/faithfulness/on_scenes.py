"""Saliency methods ranked on rendered scenes, where the object that each word names is known to the pixel.

Every map is of an object word of the scene's true caption. It is held against orders at random (`faithfulness`) and
against the object's mask (`localisation`). Beside the methods stand two maps made without the model: the edges of the
picture, which a method should beat, and the mask itself.

Axes: H and W of the picture, R cells, N orders, M words, K maps.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from PIL import Image

from causal_attrib import scenes
from causal_attrib.choices import Baseline, BatchSize, Method
from causal_attrib.evaluation.faithfulness.controls import edges
from causal_attrib.evaluation.faithfulness.curves import (
    BEATS,
    Faithfulness,
    faithfulness,
    order_of,
    random_orders,
)
from causal_attrib.evaluation.faithfulness.settings import check_settings
from causal_attrib.evaluation.intervals import Estimate, Metric, by_cluster, estimate, ratio, share
from causal_attrib.evaluation.localisation import Localisation, localise
from causal_attrib.scores.saliency_methods.baselines import baseline_picture
from causal_attrib.scores.saliency_methods.hiding import HiddenPixels
from causal_attrib.scores.saliency_methods.maps import saliency
from causal_attrib.scores.saliency_methods.reader import Reader, frozen, rows_at_once
from causal_attrib.scores.saliency_methods.regions import token_cells
from causal_attrib.scores.saliency_methods.target import choose_target
from causal_attrib.vlm import VLM

# Seeds of scenes begin here; the bundled model was trained on scenes of small seeds.
UNSEEN = 20_261_121


@dataclass(frozen=True)
class JudgedMap:
    """One map of one word: which scene and method it is of, and what was found."""

    scene: int
    method: str
    word: str
    faithful: Faithfulness
    found: Localisation


@dataclass(frozen=True)
class MethodScores:
    """What the maps of one method come to; every estimate is in percent.

    beats_chance:     maps whose deletion beats orders at random (`Faithfulness.verdict`)
    below_random:     maps whose deletion area is below the mean of orders at random
    deletion:         deletion area less that mean, of what the picture adds to the word; negative is good
    insertion:        insertion area less that mean; positive is good
    pointing:         maps whose highest value lies on the object (bilinear, at the size of the picture)
    mass_above_area:  share of the map's positive values on the object, less the object's share of the area
    """

    method: str
    maps: int
    scenes: int
    beats_chance: Estimate
    below_random: Estimate
    deletion: Estimate
    insertion: Estimate
    pointing: Estimate
    mass_above_area: Estimate


def judge_scenes(
    vlm: VLM,
    methods: Sequence[Method],
    count: int,
    *,
    baseline: Baseline = "blur",
    steps: int = 16,
    orders: int = 20,
    batch_size: BatchSize = "auto",
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> list[JudgedMap]:
    """Maps by every method, each as it is by default, and the two controls, on `count` scenes.

    Args:
        baseline: what a hidden cell shows; "swap" takes the scene before.
        steps, orders: as in `prove`.
        seed: of the scenes, orders and ties; scenes of different seeds are different.
        progress: called with the number of scenes done, and of all.

    Raises:
        InputError: a setting is out of range, or a method does not work with the model.
    """
    check_settings(methods, count, baseline, steps, orders, seed)
    rng = np.random.default_rng(UNSEEN + seed)
    before, _ = scenes.render(scenes.PARK)
    rows: list[JudgedMap] = []
    for number in range(count):
        scene = scenes.sample_scene(rng)
        picture, masks = scenes.render(scene)
        mask_of = {sticker.cls: mask_HW for sticker, mask_HW in zip(scene.objects, masks, strict=True)}
        reader = _reader(vlm, picture, scenes.caption(scene), list(mask_of), batch_size)
        hidden = baseline_picture(baseline, reader.encoding.picture, vlm.neutral_colour, before)
        random = {"orders": orders, "seed": UNSEEN + seed + number}
        of_scene = _judged(reader, _maps(reader, methods, seed), mask_of, hidden, steps, **random)
        rows += [JudgedMap(number, *judged) for judged in of_scene]
        before = picture
        if progress is not None:
            progress(number + 1, count)
    return rows


def _reader(vlm: VLM, picture: Image.Image, caption: str, words: list[str], batch_size: BatchSize) -> Reader:
    encoding = vlm.encode(picture, None, caption)
    return Reader(vlm, encoding, choose_target(vlm, encoding, "word", words), rows_at_once(vlm, batch_size))


def _maps(reader: Reader, methods: Sequence[Method], seed: int) -> dict[str, np.ndarray]:
    """Of each method the maps (M, H, W); that an integral misses its sum is part of what is measured."""
    encoding, words = reader.encoding, [label.strip() for label in reader.target.labels]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Integrated gradients miss")
        return {
            method: saliency(
                encoding.picture,
                encoding.response,
                method=method,
                model=reader.vlm,
                words=words,
                seed=seed,
                batch_size=reader.batch_size,
            ).values_THW
            for method in methods
        }


def _judged(
    reader: Reader,
    maps_of: dict[str, np.ndarray],
    mask_of: dict[str, np.ndarray],
    hidden: Image.Image,
    steps: int,
    *,
    orders: int,
    seed: int,
) -> Iterator[tuple[str, str, Faithfulness, Localisation]]:
    """Method, word and findings of every map of a scene, and of the two controls in a map's place."""
    words = [label.strip() for label in reader.target.labels]
    picture = reader.encoding.picture.pixels
    maps_of = maps_of | {"mask": np.stack([mask_of[word].astype(float) for word in words])}
    # The edges, which come last, are the same for every word.
    made_by = list(product(maps_of, range(len(words))))
    maps = [maps_of[method][m] for method, m in made_by] + [edges(picture)]
    cells = token_cells(reader.encoding.layout)
    _, rows, columns = cells.cover_RHW.shape
    order_KR = np.stack([order_of(map_HW, rows, columns, seed) for map_HW in maps])
    with frozen(reader.vlm.model):
        game = HiddenPixels(reader, cells, hidden)
        faithful_KM = faithfulness(game, order_KR, random_orders(orders, len(cells), seed), steps)
    for k, (method, m) in [*enumerate(made_by), *((-1, ("edges", m)) for m in range(len(words)))]:
        sized_HW = Image.fromarray(maps[k].astype(np.float32)).resize(picture.size, Image.Resampling.BILINEAR)
        yield method, words[m], faithful_KM[k][m], localise(np.asarray(sized_HW), mask_of[words[m]])


def rank(rows: Sequence[JudgedMap], *, bootstrap: int = 1000, seed: int = 0) -> list[MethodScores]:
    """Scores of each method, with bootstrap intervals over scenes; best first by `beats_chance`, then by `deletion`.

    Words to which the picture adds less than a tenth of a nat count for no area, and maps without a positive value for
    no mass.
    """
    scored = [
        _scored(method, [row for row in rows if row.method == method], bootstrap, seed)
        for method in dict.fromkeys(row.method for row in rows)
    ]
    return sorted(scored, key=lambda scores: (-(scores.beats_chance.value or 0.0), scores.deletion.value or 0.0))


def _scored(method: str, rows: list[JudgedMap], bootstrap: int, seed: int) -> MethodScores:
    sums_CK = by_cluster([row.scene for row in rows], np.array([_counts(row) for row in rows]))
    # Of each metric a sum and what it is divided by, side by side.
    metrics = {name: _ratio_of(2 * column, name in _SHARES) for column, name in enumerate(_METRICS)}
    found = estimate(sums_CK, metrics, resamples=bootstrap, seed=seed)
    return MethodScores(method, len(rows), len(sums_CK), **found)


_METRICS = ("beats_chance", "below_random", "deletion", "insertion", "pointing", "mass_above_area")
# Those that are shares of maps.
_SHARES = ("beats_chance", "below_random", "pointing")


def _counts(row: JudgedMap) -> list[float]:
    """What a map adds to the sum of each metric, and to what that is divided by."""
    found = row.faithful
    values = (
        found.verdict == BEATS,
        found.deletion < found.random,
        _less(found.share(found.deletion), found.share(found.random)),
        _less(found.share(found.insertion), found.share(found.random)),
        row.found.hit,
        row.found.mass_above_area,
    )
    return [number for value in values for number in ((0.0, 0.0) if value is None else (float(value), 1.0))]


def _less(share: float | None, random: float | None) -> float | None:
    return None if share is None or random is None else share - random


def _ratio_of(column: int, is_share: bool) -> Metric:
    return share(column, column + 1) if is_share else lambda sums: ratio(sums[..., column], sums[..., column + 1])

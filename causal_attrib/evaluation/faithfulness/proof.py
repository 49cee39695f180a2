"""Maps with their proof: whether each does better than chance, and what else it might be mistaken for."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import cast

import numpy as np
from PIL import Image

from causal_attrib.choices import BASELINES, BatchSize, Method, one_of
from causal_attrib.errors import InputError
from causal_attrib.evaluation.faithfulness.controls import edges, shuffled, similarity
from causal_attrib.evaluation.faithfulness.curves import (
    Faithfulness,
    faithfulness,
    order_of,
    random_orders,
    stops,
)
from causal_attrib.evaluation.faithfulness.settings import check_numbers
from causal_attrib.io.pictures import ImageLike, Picture
from causal_attrib.results.maps import Maps, sign_disagreement
from causal_attrib.scores.saliency_methods.baselines import baseline_picture
from causal_attrib.scores.saliency_methods.choice import USED, check_of
from causal_attrib.scores.saliency_methods.hiding import Game, HiddenPixels
from causal_attrib.scores.saliency_methods.maps import saliency
from causal_attrib.scores.saliency_methods.occlusion import occlusion
from causal_attrib.scores.saliency_methods.reader import Reader, frozen, rows_at_once
from causal_attrib.scores.saliency_methods.regions import cut, token_cells
from causal_attrib.scores.saliency_methods.target import choose_target
from causal_attrib.vlm import VLM, load

_BAND = (5, 95)


def prove(
    maps: Maps,
    image: ImageLike,
    caption: str | Sequence[int] | None = None,
    *,
    model: str | VLM | None = None,
    baseline: str = "blur",
    other: ImageLike | None = None,
    steps: int = 16,
    orders: int = 20,
    batch_size: BatchSize = "auto",
    seed: int = 0,
    announce: Callable[[int], None] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Maps:
    """The same maps with `proofs`: one dictionary for each.

    verdict:             "beats chance" if p is .05 at the most, else "does not beat chance"; or "nothing to explain"
                         where the map's curves stay within a tenth of a nat
    p:                   how often an order of cells at random deletes as well (`Faithfulness.p`)
    deletion, insertion: areas under the curves, as shares of what the picture adds to the word
                         (`evaluation.faithfulness.curves`); None, as all shares, where it adds less than .1 nat
    random, random_low, random_high:  mean, 5th and 95th percentile of the orders at random; they hold for both areas
    edges_deletion, edges_insertion:  the areas of an edge detector in the map's place
    shuffled_similarity: Spearman's correlation of the map with the one that the method makes of a language model whose
                         weights were shuffled; None where there is none (quantised weights, regions given as an array)
    sign_disagreement:   share of cells whose effect, by occlusion, is for the word by one baseline and against it by
                         another: neutral, blur and mean, and swap where there is another picture
    baseline, orders, steps:  as given
    nats:                the two ends, the areas, and those of the orders at random, in nats
    curves:              the map's deletion and insertion curve, in nats

    Args:
        maps: from `saliency`; some of them are enough (`maps["dog"]`).
        image: the picture they were made of.
        caption: as it was given to `saliency`, if that was the ids that the model wrote.
        model: the model they were made with.
        baseline: what a hidden cell shows, whatever the map's own baseline was.
        other: the picture that "swap" takes cells from.
        steps: of the curves; cells are hidden in so many equal parts.
        orders: at random; 19 or more.
        batch_size: pictures per forward, as in `saliency`.
        seed: of orders, ties and shuffled weights.
        announce: called with the number of rows that it takes, before any is put through the model.
        progress: called with the number of rows put through the model so far, and of all.

    Raises:
        InputError: the maps are of another picture, caption or model, or a setting is out of range.
    """
    if not isinstance(maps, Maps):
        raise InputError(f"Maps cannot be {maps!r:.40}; give what causal_attrib.saliency returns.")
    check_numbers(steps, orders)
    if seed < 0:
        raise InputError(f"A seed cannot be {seed}; give 0 or more.")
    check_of(maps.settings["of"], batch_size)
    one_of("baseline", baseline, BASELINES)
    vlm = model if isinstance(model, VLM) else load(model)
    caption = maps.caption if caption is None else caption
    rows = _Rows(progress)
    reader = _reader(maps, image, caption, vlm, rows_at_once(vlm, batch_size), rows.add)
    picture = reader.encoding.picture
    cells = token_cells(reader.encoding.layout)
    windows = cut(f"window:{min(3, *cells.cover_RHW.shape[1:])}", reader.encoding.layout, picture.pixels.size)
    swapped = ("swap",) if other is not None else ()
    shown = {
        name: baseline_picture(name, picture, vlm.neutral_colour, other)
        for name in dict.fromkeys(("neutral", "blur", "mean", *swapped, baseline))
    }
    curves = 2 + (len(stops(len(cells), steps)) - 2) * (2 * len(maps) + 2 + orders)
    rows.total = (curves + len(shown) * (1 + len(windows))) * len(reader.target.rows) + maps.settings["rows"]
    if announce is not None:
        announce(rows.total)
    with frozen(vlm.model):
        judged = _judged(maps, HiddenPixels(reader, cells, shown[baseline]), picture.pixels, steps, orders, seed)
        effects = [occlusion(HiddenPixels(reader, windows, each)) for each in shown.values()]
    of_each = [
        replace(maps, values_THW=np.stack([windows.paint(effect_R) for effect_R in effect_TR])) for effect_TR in effects
    ]
    against_T = sign_disagreement(of_each).mean((1, 2))
    alike_T = _after_shuffling(maps, picture, caption, vlm, other, batch_size, seed, rows.add)
    settings = {"baseline": baseline, "orders": orders, "steps": steps}
    return replace(
        maps,
        proofs=tuple(
            _areas(of_map, of_edges)
            | {"shuffled_similarity": alike, "sign_disagreement": float(against)}
            | settings
            | _details(of_map)
            for (of_map, of_edges), alike, against in zip(judged, alike_T, against_T, strict=True)
        ),
    )


class _Rows:
    """Adds up the rows that were put through the model."""

    def __init__(self, progress: Callable[[int, int], None] | None):
        self.done = self.total = 0
        self._progress = progress

    def add(self, rows: int) -> None:
        self.done += rows
        if self._progress is not None:
            self._progress(self.done, self.total)


def _reader(
    maps: Maps,
    image: ImageLike,
    caption: str | Sequence[int],
    vlm: VLM,
    batch_size: int,
    on_done: Callable[[int], None],
) -> Reader:
    """What the maps explain, read off the model they were made with."""
    asked = maps.settings
    encoding = vlm.encode(image, asked["prompt"], caption, asked["answer"], question=asked["question"])
    for what, given, of_maps in (
        ("picture", encoding.picture.sha256, maps.image["sha256"]),
        ("model", vlm.record["id"], maps.model["id"]),
        ("caption", encoding.response, maps.caption),
    ):
        if given != of_maps:
            raise InputError(f"The maps are of another {what} ({of_maps!r:.80}), not of {given!r:.80}; give theirs.")
    target = choose_target(vlm, encoding, asked["of"], asked["words"], maps.foil)
    if not set(maps.tokens) <= set(target.tokens):
        raise InputError("The caption falls into other tokens than the maps'; give the ids that the model wrote.")
    kept = [target.tokens.index(tokens) for tokens in maps.tokens]
    target = replace(
        target,
        parts=tuple(target.parts[i] for i in kept),
        labels=tuple(target.labels[i] for i in kept),
        tokens=tuple(target.tokens[i] for i in kept),
    )
    return Reader(vlm, encoding, target, batch_size, on_done)


def _judged(
    maps: Maps, game: Game, picture: Image.Image, steps: int, orders: int, seed: int
) -> list[tuple[Faithfulness, Faithfulness]]:
    """Each map, and the edges of the picture in its place."""
    _, rows, columns = game.regions.cover_RHW.shape
    order_KR = [order_of(map_HW, rows, columns, seed) for map_HW in (*maps.values_THW, edges(picture))]
    found = faithfulness(game, np.stack(order_KR), random_orders(orders, len(game.regions), seed), steps)
    return [(found[t][t], found[-1][t]) for t in range(len(maps))]


def _after_shuffling(
    maps: Maps,
    picture: Picture,
    caption: str | Sequence[int],
    vlm: VLM,
    other: ImageLike | None,
    batch_size: BatchSize,
    seed: int,
    on_done: Callable[[int], None],
) -> list[float | None]:
    """How much each map is like the one that the same method makes of a model whose weights were shuffled."""
    settings = {name: maps.settings[name] for name in USED[cast("Method", maps.method)] if name in maps.settings}
    if str(settings.get("regions", "")).startswith("array "):
        return [None] * len(maps)
    asked = {name: maps.settings[name] for name in ("prompt", "question", "answer", "of", "words")}
    call = asked | settings | {"method": maps.method, "level": maps.level, "foil": maps.foil, "other": other}
    with warnings.catch_warnings():
        # That integrals of such a model miss their sum is no news.
        warnings.simplefilter("ignore")
        try:
            with shuffled(vlm.model, seed):
                again = saliency(picture, caption, model=vlm, batch_size=batch_size, progress=on_done, **call)
        except InputError:
            # Its weights cannot be shuffled, or its numbers are none any more.
            return [None] * len(maps)
    row_of = {tokens: t for t, tokens in enumerate(again.tokens)}
    return [
        similarity(map_HW, again.values_THW[row_of[tokens]])
        for map_HW, tokens in zip(maps.values_THW, maps.tokens, strict=True)
    ]


def _areas(of_map: Faithfulness, of_edges: Faithfulness) -> dict:
    low, high = np.percentile(of_map.random_N, _BAND)
    return {
        "verdict": of_map.verdict,
        "p": of_map.p,
        "deletion": of_map.share(of_map.deletion),
        "insertion": of_map.share(of_map.insertion),
        "random": of_map.share(of_map.random),
        "random_low": of_map.share(float(low)),
        "random_high": of_map.share(float(high)),
        "edges_deletion": of_map.share(of_edges.deletion),
        "edges_insertion": of_map.share(of_edges.insertion),
    }


def _details(of_map: Faithfulness) -> dict:
    nats = ("full", "empty", "deletion", "insertion", "random_N")
    return {
        "nats": {name: getattr(of_map, name) for name in nats},
        "curves": {"deletion": of_map.deletion_C, "insertion": of_map.insertion_C},
    }

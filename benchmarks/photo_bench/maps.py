"""Do maps point at what a word names, on photographs, and where do they point for words that name nothing there?

    python benchmarks/photo_bench/maps.py --photos DIR --captions OUT/small-0/captions.jsonl --model OUT/small-0/model \
        --photographs 110 --out maps.json

Of the greedy caption of each photograph of the test split, the first mention of every object gets a map by each method:
occlusion of the encoder's 7 x 7 cells, and gradients by pixels, since image tokens of these captioners have no known
place. COCO's masks say where the object is. A hallucinated word has no mask, so both sorts are also held against all
annotated objects together: does the map lie on *some* object? Deletion and insertion need no mask. What is found is
written to maps.jsonl photograph by photograph, so that the same command goes on where it was stopped.

    pointing    maps whose highest value lies on the object            mass    share of the positive values on it, less
    any object  the same on any annotated object                               the object's share of the area
    deletion, insertion   areas under the curves less those of orders at random, in percent of what the picture adds

Beside the methods stand the edges of the picture, its centre, and the object's own mask.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from data import load_photos, of_split
from PIL import Image, ImageDraw

import causal_attrib
from causal_attrib.evaluation.faithfulness.controls import edges
from causal_attrib.evaluation.faithfulness.curves import BEATS, Faithfulness, faithfulness, order_of, random_orders
from causal_attrib.evaluation.intervals import Estimate, by_cluster, estimate, ratio, share
from causal_attrib.evaluation.localisation import Localisation, localise
from causal_attrib.scores.saliency_methods import saliency
from causal_attrib.scores.saliency_methods.baselines import baseline_picture
from causal_attrib.scores.saliency_methods.hiding import HiddenPixels
from causal_attrib.scores.saliency_methods.reader import Reader, frozen
from causal_attrib.scores.saliency_methods.regions import token_cells
from causal_attrib.scores.saliency_methods.target import choose_target
from causal_attrib.words.lexicon import read_lexicon
from causal_attrib.words.matcher import Matcher

# Windows around cells of 8 x 8, the default of occlusion here, would cost 2.6 times as much.
METHODS = {"occlusion": {"regions": "grid:7"}, "gradient": {"level": "pixel"}, "gradient_x_input": {"level": "pixel"}}
FIGURES = ("pointing", "mass", "any_pointing", "any_mass", "deletion", "insertion", "beats_chance")
SHARES = ("pointing", "any_pointing", "beats_chance")
# At random, beside which a map is put.
ORDERS = 20


@dataclass(frozen=True)
class Judged:
    """A map of one word.

    own: against the object that the word names; None where the photograph lacks it
    any: against all annotated objects together
    """

    image: str
    word: str
    node: str
    method: str
    own: Localisation | None
    any: Localisation
    faithful: Faithfulness | None

    @classmethod
    def read(cls, row: dict) -> Judged:
        """From what `asdict` made of it, through JSON."""
        own, areas = row["own"], row["faithful"]
        if areas is not None:
            areas = Faithfulness(**{name: tuple(of) if isinstance(of, list) else of for name, of in areas.items()})
        own, anything = (None if of is None else Localisation(**of) for of in (own, row["any"]))
        return cls(**row | {"own": own, "any": anything, "faithful": areas})


def masks_of(annotations: Sequence[dict], names: dict[int, str], width: int, height: int) -> dict[str, np.ndarray]:
    """A mask (height, width) for each class of a photograph; of crowds, which have no polygons, the box."""
    masks: dict[str, np.ndarray] = {}
    for one in annotations:
        drawn = Image.new("1", (width, height))
        pen = ImageDraw.Draw(drawn)
        polygons = one.get("segmentation")
        if isinstance(polygons, list) and polygons:
            for polygon in polygons:
                pen.polygon(list(zip(polygon[::2], polygon[1::2], strict=True)), fill=1)
        else:
            left, top, wide, high = one["bbox"]
            pen.rectangle((left, top, left + wide, top + high), fill=1)
        name = names[one["category_id"]]
        masks[name] = np.asarray(drawn) | masks.get(name, False)
    return masks


def located(map_HW: np.ndarray, node: str, masks: dict[str, np.ndarray]) -> tuple[Localisation | None, Localisation]:
    """A map of any size against the object, if it is there, and against all objects."""
    all_HW = np.any(list(masks.values()), axis=0)
    size = all_HW.shape[::-1]
    sized_HW = np.asarray(Image.fromarray(map_HW.astype(np.float32)).resize(size, Image.Resampling.BILINEAR))
    return (localise(sized_HW, masks[node]) if node in masks else None), localise(sized_HW, all_HW)


def centre(height: int, width: int) -> np.ndarray:
    rows_H, columns_W = (np.abs(np.linspace(-1, 1, side)) for side in (height, width))
    return 2 - rows_H[:, None] - columns_W


def judge(vlm, path: str, caption: str, masks: dict[str, np.ndarray], matcher: Matcher, steps: int) -> list[Judged]:
    """Every method's map of every object that a caption names by one word, judged."""
    first = {mention.node: mention for mention in reversed(matcher.mentions(caption))}
    named = {node: caption[one.start : one.stop] for node, one in first.items() if one.end - one.first == 1}
    # One map for a word, so a caption in which it stands twice would have two.
    named = {node: word for node, word in named.items() if caption.split().count(word) == 1}
    if not named:
        return []
    encoding = vlm.encode(path, None, caption)
    words, nodes = list(named.values()), list(named)
    target = choose_target(vlm, encoding, "word", words)
    labels = [label.strip() for label in target.labels]
    nodes = [nodes[words.index(label)] for label in labels]
    picture = encoding.picture.pixels
    maps: list[tuple[str, int, np.ndarray]] = []
    for method, options in METHODS.items():
        found = saliency(path, encoding.response_ids, model=vlm, words=words, method=method, **options)
        maps += [(method, place, values_HW) for place, values_HW in enumerate(found.values_THW)]
    for place, node in enumerate(nodes):
        maps += [("edges", place, edges(picture)), ("centre", place, centre(picture.height, picture.width))]
        if node in masks:
            maps.append(("mask", place, masks[node].astype(float)))
    reader = Reader(vlm, encoding, target, 8)
    cells = token_cells(encoding.layout)
    _, rows, columns = cells.cover_RHW.shape
    orders_KR = np.stack([order_of(map_HW, rows, columns, 0) for _, _, map_HW in maps])
    # The same order needs to be tried once, whatever the word.
    distinct_JR, of_K = np.unique(orders_KR, axis=0, return_inverse=True)
    hidden = baseline_picture("blur", encoding.picture, vlm.neutral_colour, None)
    with frozen(vlm.model):
        game = HiddenPixels(reader, cells, hidden)
        faithful_JM = faithfulness(game, distinct_JR, random_orders(ORDERS, len(cells), 0), steps)
    return [
        Judged(path, labels[place], nodes[place], method, *located(map_HW, nodes[place], masks), faithful_JM[j][place])
        for (method, place, map_HW), j in zip(maps, of_K.ravel(), strict=True)
    ]


def figures_of(judged: Sequence[Judged], *, resamples: int = 1000, seed: int = 0) -> dict[str, Estimate]:
    """`FIGURES` in percent, with intervals over photographs. What a map does not have counts for none."""
    counts = []
    for one in judged:
        own, faithful = one.own, one.faithful
        values: list[float | None] = [
            None if own is None else float(own.hit),
            None if own is None else own.mass_above_area,
            float(one.any.hit),
            one.any.mass_above_area,
        ]
        if faithful is None:
            values += [None, None, None]
        else:
            whole = [faithful.share(area) for area in (faithful.deletion, faithful.insertion, faithful.random)]
            values += [None if area is None or whole[2] is None else area - whole[2] for area in whole[:2]]
            values.append(float(faithful.verdict == BEATS))
        counts.append([number for value in values for number in ((0.0, 0.0) if value is None else (value, 1.0))])
    sums_CK = by_cluster([one.image for one in judged], np.array(counts))
    metrics = {
        # Where all maps agree, an interval of no width would say too much.
        name: share(2 * column, 2 * column + 1) if name in SHARES else _ratio_of(2 * column)
        for column, name in enumerate(FIGURES)
    }
    return estimate(sums_CK, metrics, resamples=resamples, seed=seed)


def _ratio_of(column: int):
    return lambda sums: ratio(sums[..., column], sums[..., column + 1])


def table_of(judged: Sequence[Judged]) -> tuple[str, dict]:
    lines = ["| map | words | maps | " + " | ".join(FIGURES) + " |", "|---" * (3 + len(FIGURES)) + "|"]
    found = {}
    for method in dict.fromkeys(one.method for one in judged):
        for sort, there in (("true", True), ("hallucinated", False)):
            some = [one for one in judged if one.method == method and (one.own is not None) == there]
            if not some:
                continue
            figures = figures_of(some)
            cells = [
                ""
                if of.value is None
                else f"{of.value:.0f} [{of.low:.0f}, {of.high:.0f}]"
                if of.low is not None
                else f"{of.value:.0f}"
                for of in figures.values()
            ]
            lines.append(f"| {method} | {sort} | {len(some)} | " + " | ".join(cells) + " |")
            areas = [one.own.area if one.own else one.any.area for one in some]
            found[f"{method}, {sort}"] = {name: asdict(of) for name, of in figures.items()} | {
                "maps": len(some),
                "area": float(np.mean(areas)),
                "area_any": float(np.mean([one.any.area for one in some])),
                # What each word loses when the whole picture is blurred, in nats.
                "gain": float(np.median([one.faithful.full - one.faithful.empty for one in some if one.faithful])),
            }
    return "\n".join(lines), found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True, help="folder in COCO's layout (see README.md)")
    parser.add_argument("--captions", type=Path, required=True, help="captions.jsonl of a captioner")
    parser.add_argument("--model", required=True, help="its model folder")
    parser.add_argument("--photographs", type=int, default=110)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="of CPU time, after which no other begins")
    parser.add_argument("--steps", type=int, default=4, help="of the deletion and insertion curves")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    coco = [json.loads(file.read_text("utf-8")) for file in sorted(arguments.photos.rglob("instances*.json"))]
    names = {kind["id"]: kind["name"] for one in coco for kind in one["categories"]}
    annotations: dict[int, list[dict]] = {}
    for one in coco:
        for annotation in one["annotations"]:
            annotations.setdefault(annotation["image_id"], []).append(annotation)
    said = [json.loads(line) for line in arguments.captions.read_text("utf-8").splitlines()]
    said = [row for row in said if row["split"] == "test" and not row["sampled"]][: arguments.photographs]
    paths = {photo.id: photo.path for photo in of_split(load_photos(arguments.photos, 110, 100, 10_000), "test")}
    settings = {"steps": arguments.steps, "orders": ORDERS, "hidden cells": "blurred"}
    done = arguments.out.with_suffix(".jsonl")
    before = [json.loads(line) for line in done.read_text("utf-8").splitlines()] if done.exists() else []
    if any(one["settings"] != settings for one in before):
        raise SystemExit(f"{done} was made with other settings; name another file by --out, or delete it.")
    judged_of = {one["image_id"]: [Judged.read(row) for row in one["judged"]] for one in before}
    vlm, matcher = causal_attrib.load(arguments.model, trust_remote_code=True), Matcher(read_lexicon(), "repaired")
    with warnings.catch_warnings(), done.open("a", encoding="utf-8") as journal:
        warnings.simplefilter("ignore")
        for row in said:
            image_id = row["image_id"]
            if image_id in judged_of:
                continue
            if time.process_time() > 60 * arguments.minutes:
                break
            with Image.open(paths[image_id]) as picture:
                masks = masks_of(annotations[image_id], names, *picture.size)
            found = judge(vlm, paths[image_id], row["caption"], masks, matcher, arguments.steps)
            judged_of[image_id] = found
            record = {"image_id": image_id, "settings": settings, "judged": [asdict(one) for one in found]}
            print(json.dumps(record), file=journal, flush=True)
            print(f"{len(judged_of)} of {len(said)}, {time.process_time():.0f} CPU seconds", flush=True)
    text, found = table_of([one for of in judged_of.values() for one in of])
    settings = {"photographs": len(judged_of)} | settings
    arguments.out.write_text(json.dumps({"settings": settings, "figures": found}, indent=1), "utf-8")
    print(text)


if __name__ == "__main__":
    main()

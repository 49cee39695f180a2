"""The scripts of benchmarks/photo_bench that turn maps and signals into figures, on made-up masks and mentions."""

import importlib
import json
import math
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from causal_attrib.evaluation.detection import ranking
from causal_attrib.evaluation.faithfulness.curves import Faithfulness

BENCH = Path(__file__).parents[2] / "benchmarks" / "photo_bench"


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCH))
    return importlib.import_module


NAMES = {1: "dog", 2: "cat"}
# A dog of 5 x 4 pixels in two parts that touch, and a crowd of cats that has a box only.
ANNOTATIONS = [
    {"category_id": 1, "segmentation": [[0, 0, 4, 0, 4, 1, 0, 1]], "bbox": [0, 0, 5, 2]},
    {"category_id": 1, "segmentation": [[0, 2, 4, 2, 4, 3, 0, 3]], "bbox": [0, 2, 5, 2]},
    {"category_id": 2, "segmentation": {"counts": [], "size": [8, 10]}, "bbox": [7, 6, 2, 1]},
]


def test_masks_of_polygons_and_of_boxes(script):
    masks = script("maps").masks_of(ANNOTATIONS, NAMES, 10, 8)
    assert set(masks) == {"dog", "cat"} and masks["dog"].shape == (8, 10)
    assert np.argwhere(masks["dog"]).tolist() == [[row, column] for row in range(4) for column in range(5)]
    assert np.argwhere(masks["cat"]).tolist() == [[row, column] for row in (6, 7) for column in (7, 8, 9)]


def test_maps_of_true_and_hallucinated_words(script):
    maps = script("maps")
    masks = maps.masks_of(ANNOTATIONS, NAMES, 10, 8)
    map_HW = np.zeros((8, 10))
    map_HW[1, 2], map_HW[7, 8], map_HW[4, 0] = 3.0, 2.0, 1.0
    own, anything = maps.located(map_HW, "dog", masks)
    # 20 of 80 pixels are dog, and half of the map's mass lies there; 26 are dog or cat, and five sixths do.
    assert (own.hit, own.mass, own.area) == (True, 0.5, 0.25)
    assert anything.hit and anything.mass == pytest.approx(5 / 6) and anything.area == pytest.approx(26 / 80)
    assert maps.located(map_HW, "cat", masks)[0].hit is False
    assert maps.located(map_HW, "bus", masks)[0] is None

    # f falls from 0 to -4: the map's areas are a quarter and three quarters of the way, orders at random half.
    faithful = Faithfulness(-3.0, -1.0, (-2.0,) * 20, (0.0, -4.0, -4.0), (-4.0, 0.0, 0.0))
    judged = [
        maps.Judged("a.jpg", "dog", "dog", "occlusion", own, anything, faithful),
        maps.Judged("a.jpg", "bus", "bus", "occlusion", None, anything, faithful),
        maps.Judged("b.jpg", "cat", "cat", "occlusion", maps.located(map_HW, "cat", masks)[0], anything, None),
    ]
    again = [maps.Judged.read(json.loads(json.dumps(asdict(one)))) for one in judged]
    assert again == judged  # a run that was stopped goes on from what it wrote
    figures = {name: one.value for name, one in maps.figures_of(again, resamples=100).items()}
    assert figures["pointing"] == 50.0 and figures["any_pointing"] == 100.0
    # Mass less area: 1/2 - 1/4 of the dog, 1/3 - 6/80 of the cat, of two words; the bus has none.
    assert figures["mass"] == pytest.approx(100 * (0.25 + 1 / 3 - 6 / 80) / 2)
    assert figures["deletion"] == pytest.approx(-25.0) and figures["insertion"] == pytest.approx(25.0)
    assert figures["beats_chance"] == 100.0
    assert "| occlusion | hallucinated | 1 |" in maps.table_of(judged)[0]


def saved(path: Path, seed: int, *, scale: float = 1.0, name: str = "logprob") -> Path:
    rng, rows = np.random.default_rng(seed), []
    for image in range(12):
        units = [
            {"node": node, "start": start, "false": bool(false), "first": True,
             "signals": {name: scale * (rng.normal() - 2.0 * false)}}
            for start, node in enumerate(("dog", "cat", "dog", "cat"))
            for false in [rng.random() < 0.5]
        ]  # fmt: skip
        rows.append(json.dumps({"image": str(image), "units": units}))
    path.write_text("\n".join(rows))
    return path


def test_captioners_are_compared_within_themselves(script, tmp_path, monkeypatch, capsys):
    pooled = script("pooled")
    # The second captioner's signal has another scale, on which all of its mentions would come first or last.
    files = [saved(tmp_path / "0.jsonl", 0), saved(tmp_path / "1.jsonl", 1, scale=50.0)]
    monkeypatch.setattr("sys.argv", ["pooled", "--said", *map(str, files), "--out", str(tmp_path / "out.json"),
                                     "--bootstrap", "100"])  # fmt: skip
    pooled.main()
    found = json.loads((tmp_path / "out.json").read_text())
    by_hand = []
    for file in files:
        table = pooled.read([file])
        by_hand.append((100 * ranking.of("auroc", table["false"].to_numpy(), -table.logprob.to_numpy()),
                        table["false"].sum() * (~table["false"]).sum()))  # fmt: skip
    of = found["signals"]["logprob"]
    assert [seed["auroc"]["value"] for seed in of["seeds"]] == pytest.approx([auroc for auroc, _ in by_hand], abs=0.01)
    pairs = sum(count for _, count in by_hand)
    assert of["together"]["auroc"]["value"] == pytest.approx(
        sum(auroc * count for auroc, count in by_hand) / pairs, abs=0.01
    )
    assert of["together"]["auroc"]["low"] < of["together"]["auroc"]["value"] < of["together"]["auroc"]["high"]
    assert found["counts"]["photographs"] == 12 and found["counts"]["mentions"] == [48, 48]
    assert "ece" in found["signals"]["combination"] and "`logprob` |" in capsys.readouterr().out


def test_files_of_one_captioner_are_joined_by_mention(script, tmp_path):
    pooled = script("pooled")
    files = [saved(tmp_path / "a.jsonl", 0), saved(tmp_path / "b.jsonl", 0, scale=2.0, name="evidence")]
    table = pooled.read(files)
    assert len(table) == 48 and np.allclose(table.evidence, 2 * table.logprob)
    files[1].write_text("\n".join(files[1].read_text().splitlines()[:-1]))
    with pytest.raises(SystemExit, match="not of the same captions"):
        pooled.read(files)


def test_the_calibration_error_of_right_probabilities(script):
    pooled = script("pooled")
    units = pooled.units_of(pooled.pd.DataFrame({"image": ["a"], "node": ["dog"], "false": [True]}), ["a"])
    # Every bin holds one fair coin of its own: |label - 1/2| is always 1/2.
    assert pooled.if_right(np.array([0.5]), units) == pytest.approx(50.0)
    # 100 fair coins in one bin: the mean distance of their share from 1/2 is sqrt(2 / pi) / 20.
    assert pooled.if_right(np.full(100, 0.5), units) == pytest.approx(100 * math.sqrt(2 / math.pi) / 20, rel=0.1)


def test_bags_of_words_are_read_off_image_tokens(script):
    torch = pytest.importorskip("torch")
    photo, words = script("data").Photo, script("small").Words
    photos = [photo("a.jpg", 0, ["a dog"] * 3, None), photo("b.jpg", 1, ["a cat"] * 3, None)]
    tokenizer = words(photos).tokenizer()
    size = len(tokenizer)
    reader = script("reader").Reader(torch.nn.Identity(), torch.eye(size), tokenizer, photos).eval()
    # One image token is the dog's own direction, the other the cat's: cosines of 1 and, of two corners of a simplex,
    # -1 / (size - 1).
    own = {word: torch.eye(size)[tokenizer(word)["input_ids"][0]] - 1 / size for word in ("dog", "cat")}
    said_C, nats_C = reader.logprobs(torch.stack([own["dog"], own["cat"]])[None], [["A dog!", "cats"]])
    far = 10 * -1 / (size - 1)
    shown = math.log(math.exp(10.0) + math.exp(far)) - math.log(2) - 1  # half of the captions have either: logit 0
    article = far + math.log(9) - 1  # as if nine in ten had it
    nothing = -2 * math.log1p(math.exp(shown)) - math.log1p(math.exp(article))
    assert said_C.tolist() == pytest.approx([nothing + shown + article, nothing], rel=1e-5)
    assert nats_C.tolist() == pytest.approx([-(nothing + shown + article) / 2, -nothing], rel=1e-5)

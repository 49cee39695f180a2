"""The scorer behind one process, workers and Ray: batches of any kind, workers that are killed, numbers alike."""

import json
import os
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from PIL import Image

import causal_attrib
from causal_attrib import InputError
from causal_attrib.batch import Scorer, workers
from causal_attrib.batch.forecast import measure
from causal_attrib.engine import PackedEngine
from causal_attrib.scenes import PARK, render
from tests.batch import stand_in


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    for seed, name in enumerate("abc"):
        render(replace(PARK, seed=seed))[0].save(folder / f"{name}.png")
    return folder


@pytest.fixture(scope="module")
def rows(folder):
    return [
        {"image": str(folder / "a.png"), "caption": "a dog on the grass", "id": None},
        {"image": str(folder / "b.png"), "caption": "a cat", "id": "cat"},
        {"image": str(folder / "none.png"), "caption": "a cow"},
        {"image": str(folder / "a.png"), "caption": "a red bus at sunset"},
    ]


@pytest.fixture(scope="module")
def alone(rows, bundled):
    return {
        row["caption"]: causal_attrib.score(row["image"], row["caption"], model=bundled, verdict=True)
        for row in rows
        if "none" not in row["image"]
    }


SCORES = ("logprob", "entropy", "sufficiency", "necessity", "evidence", "p_false")


def numbers(tokens):
    get = dict.get if isinstance(tokens[0], dict) else getattr
    return np.array([[np.nan if get(token, name) is None else get(token, name) for name in SCORES] for token in tokens])


@pytest.mark.parametrize("kind", [pa.Table.from_pylist, pd.DataFrame, "numpy"])
def test_a_batch_of_ray_data(rows, alone, bundled, kind):
    """A row for each row, the same whatever the batch comes in, with one that failed among them."""
    table = pd.DataFrame(rows)
    batch = {name: table[name].to_numpy() for name in table} if kind == "numpy" else kind(rows)
    scored = Scorer(bundled, verdict=True)(batch)
    assert scored.column("caption_id").to_pylist() == ["1", "cat", "3", "4"]
    assert [reason is not None for reason in scored.column("failed").to_pylist()] == [False, False, True, False]
    assert "no file" in scored.column("failed")[2].as_py()
    for row in scored.to_pylist():
        if row["failed"] is None:
            expected = alone[row["caption"]]
            assert (row["tokens"], row["outcome"]) == (len(expected), "grounding")
            assert row["p_false"] == pytest.approx(expected.verdict["p_false"], abs=1e-5)
            np.testing.assert_allclose(numbers(row["scores"]), numbers(expected.tokens), rtol=0, atol=1e-5)
        else:
            assert row["scores"] is None and row["p_false"] is None


def test_numbers_do_not_depend_on_what_was_scored_before(folder, bundled):
    """To the last digit: what is kept of the neutral picture holds no caption, and the cost is that of each group."""
    from causal_attrib.batch.caption_rows import caption_rows

    def group(image, *captions):
        return caption_rows([{"image": str(folder / image), "caption": caption} for caption in captions], "rows")

    first, second = group("a.png", "a dog", "a red bus at sunset"), group("b.png", "a cat on the grass", "a dog")
    scorer, fresh = Scorer(bundled), Scorer(bundled)
    scorer.score(first)
    kept = [key for key in scorer._engine._trees if key.of_any_picture]
    read = []
    before = PackedEngine.adopt
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PackedEngine, "adopt", lambda self, engine: (before(self, engine), read.append(set(self._trees))))
        assert scorer.score(second) == fresh.score(second)
    assert len(kept) == 1 and read[0] == set(kept)  # it was kept, and not read again


def test_captions_of_a_group_share_forwards(folder, bundled):
    """Those of one picture are scanned together: one forward, not one for each."""
    from causal_attrib.batch.caption_rows import caption_rows

    captions = ["a dog", "a red bus", "two people at noon", "a cat on the sofa"]
    rows = caption_rows([{"image": str(folder / "a.png"), "caption": caption} for caption in captions], "rows")
    scorer = Scorer(bundled, verdict=True)
    together = scorer.score(rows)[0]["cost"]
    apart = sum(Scorer(bundled, verdict=True).score([row])[0]["cost"]["forwards"] for row in rows)
    # Alone each takes picture, neutral picture, prior, and branches behind both.
    assert together["captions"] == 4 and together["forwards"] <= 8 < apart


def test_many_in_order_from_anything(rows, alone, bundled, tmp_path):
    good = [row for row in rows if "none" not in row["image"]]
    pixels = [{**row, "image": Image.open(row["image"])} for row in good]
    source = tmp_path / "rows.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in good))
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"image": datasets.Image(), "caption": datasets.Value("string")})
    data = datasets.Dataset.from_list(
        [{"image": row["image"], "caption": row["caption"]} for row in good], features=features
    )
    for given in (good, pixels, pd.DataFrame(good), data, source, iter(good)):
        found = list(causal_attrib.score_many(given, model=bundled, progress=False, verdict=True))
        assert [one.caption for one in found] == [row["caption"] for row in good]
        for one in found:
            np.testing.assert_allclose(numbers(one.tokens), numbers(alone[one.caption].tokens), rtol=0, atol=1e-5)


def test_a_row_of_many_that_fails(rows, bundled):
    found = causal_attrib.score_many(rows, model=bundled, progress=False)
    with pytest.raises(InputError, match="the rows row 3 failed: There is no file"):
        list(found)
    failed = []
    found = list(causal_attrib.score_many(rows, model=bundled, progress=False, on_failure=failed.append))
    assert [one and one.caption for one in found] == [rows[0]["caption"], "a cat", None, rows[3]["caption"]]
    assert [failure.row for failure in failed] == [2]
    with pytest.raises(InputError, match="the rows row 2 has the id '1'"):
        list(causal_attrib.score_many([rows[0], {**rows[1], "id": "1"}], model=bundled, progress=False))
    with pytest.raises(InputError, match="A model cannot be 3; give a folder, a hub id, or a loaded VLM"):
        causal_attrib.score_many(rows, model=3)


def test_a_forecast_is_of_all_captions(rows, bundled, tmp_path):
    source = tmp_path / "rows.jsonl"
    source.write_text("".join(json.dumps({**row, "id": str(n)}) + "\n" for n, row in enumerate(rows * 20)))
    found = measure(source, tmp_path / "scores.jsonl", lambda: bundled)
    # Two groups of 16; the order is by picture, so 40 captions of a, 20 of b, and 20 that fail.
    assert (found.captions, found.measured, found.failed) == (80, 32, 0)
    assert found.hours == pytest.approx(80 * found.seconds / 32 / 3600)
    assert found.bytes_each > 500 and "80 captions to score" in found.told() and "worker-hours" in found.told()
    assert [path.name for path in tmp_path.iterdir()] == ["rows.jsonl"]


# -- workers ----------------------------------------------------------------------------------------------------------


def test_how_many_workers(monkeypatch, tmp_path):
    cores = len(workers.cores())
    monkeypatch.setattr(workers, "_free_bytes", lambda: 64e9)
    assert workers.count_of("auto", {"model": None}) == cores or cores > 36
    # Each needs its weights twice and some more: of 10 GB with 3 GB of weights, one has room.
    (tmp_path / "model.safetensors").touch()
    os.truncate(tmp_path / "model.safetensors", 3 * 10**9)
    monkeypatch.setattr(workers, "_free_bytes", lambda: 10e9)
    assert workers.count_of("auto", {"model": str(tmp_path)}) == 1
    assert workers.count_of("auto", {"model": None, "device": "cuda:1"}) == 1
    for wrong, model, told in ((0, {}, "workers is 0"), ("many", {}, "'many'"), (2, {"device": "cuda:0"}, "one each")):
        with pytest.raises(InputError, match=told):
            workers.count_of(wrong, model)


def test_a_worker_that_dies_is_replaced_and_what_kills_it_is_told(monkeypatch):
    """Each group comes once, also those that were with a worker when another group killed it."""
    monkeypatch.setattr(workers, "MOST_DEATHS", 2)
    groups = {str(n): [f"row {n}", "x" * n] for n in range(8)} | {"bad": ["kills"]}
    results = list(workers.in_processes(stand_in.Counts, groups, 2))
    assert sorted(key for _, key, _ in results) == sorted(groups)
    found = {key: outcomes for _, key, outcomes in results}
    assert "ended 2 times" in found.pop("bad")[0]["reason"]
    assert [found[str(n)][1]["letters"] for n in range(8)] == list(range(8))
    assert os.getpid() not in {outcome["by"] for outcomes in found.values() for outcome in outcomes}


def test_a_model_that_cannot_be_loaded_by_a_worker_is_told():
    with pytest.raises(InputError, match="There is no model here"):
        list(workers.in_processes(stand_in.no_model, {"1": ["a"]}, 1))


@pytest.mark.parametrize("rows", [None, 3, {}, b"x"])
def test_rows_that_are_none_are_refused(rows):
    with pytest.raises(InputError, match="The rows are .*; give dictionaries with image and caption"):
        causal_attrib.score_many(rows)

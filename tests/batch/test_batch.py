"""Scoring a file: what is written, what a kill or a failing row leaves, and shards that make the whole again."""

import copy
import csv
import json
import math
import multiprocessing
import os
import re
import signal
import time

import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
from PIL import Image

import causal_attrib
from causal_attrib import Attribution, InputError
from causal_attrib.batch import caption_rows as batch
from causal_attrib.batch.caption_rows import read_caption_rows
from causal_attrib.batch.merge import merge
from causal_attrib.batch.run import score_file
from causal_attrib.io.failures import failures_path, read_failures
from causal_attrib.results import caption_files
from causal_attrib.scenes import write_dataset

ROWS = [
    {"image": "a.png", "caption": "a dog"},
    {"image": "b.png", "caption": "a cat, and a dog", "id": "cat"},
    {"image": "a.png", "caption": "a dog on grass", "question": "Is there a dog?", "answer": "yes"},
    {"image": "c.png", "caption": 'a "café"\nat noon #1', "prompt": "Where is it?"},
    {"image": "b.png", "caption": "a cat", "objects": ["cat"]},
    {"image": "c.png", "caption": "a red bus"},
]
FAILING = [
    *ROWS[:2],
    {"image": "none.png", "caption": "a dog"},
    {"image": "a.png", "caption": " "},
    {"image": "a.png", "caption": "a cow"},
]


@pytest.fixture(scope="module", autouse=True)
def in_twos():
    """So small that a few rows make several groups."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batch, "MOST_TOGETHER", 2)
        yield


def made(folder, rows=ROWS):
    folder.mkdir(parents=True, exist_ok=True)
    for name, colour in (("a", "red"), ("b", "green"), ("c", "blue")):
        Image.new("RGB", (64, 64), colour).save(folder / f"{name}.png")
    source = folder / "rows.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return source


@pytest.fixture
def source(tmp_path):
    return made(tmp_path / "in")


def untouched():
    raise AssertionError("the model was loaded")


@pytest.fixture(scope="module")
def whole(tmp_path_factory, bundled):
    """The rows scored in one go: the input, and the output in each format as bytes."""
    source = made(tmp_path_factory.mktemp("whole"))
    written = {}
    for format in caption_files.FORMATS:
        output = source.with_name(f"scores.{format}")
        done = score_file(source, output, lambda: bundled)
        assert (done.scored, done.before, done.failures) == (6, 0, [])
        written[format] = taken(output)
    return source, written


def taken(output):
    """The files of an output by how their names go on, which are taken away; there are no others."""
    files = caption_files.files_at(output)
    assert sorted(output.parent.glob(f"*{output.stem}*")) == sorted(files)
    read = {path.name.removeprefix(output.stem): path.read_bytes() for path in files}
    for path in files:
        path.unlink()
    return read


def put(files, output):
    for name, data in files.items():
        output.with_name(output.stem + name).write_bytes(data)
    return output


def test_rows_of_scenes_find_their_pictures(tmp_path):
    folder = write_dataset(tmp_path / "worlds", 2, seed=0)
    rows = read_caption_rows(folder / "captions.jsonl")
    assert [row.image for row in rows] == [str(folder / "images" / f"{n:06d}.png") for n in range(2)]


# -- what is written --------------------------------------------------------------------------------------------------


def test_each_caption_is_scored_as_it_would_be_alone(whole, bundled, tmp_path):
    source, written = whole
    scored = list(caption_files.read(put(written["jsonl"], tmp_path / "scores.jsonl")))
    assert [one.caption_id for one in scored] == ["1", "cat", "3", "4", "5", "6"]
    for one, row in zip(scored, ROWS, strict=True):
        asked = {name: row[name] for name in ("prompt", "question", "answer", "objects") if name in row}
        alone = causal_attrib.score(source.parent / row["image"], row["caption"], model=bundled, **asked)
        found = Attribution.from_dict(one.record)
        assert {**found.to_dict(), "cost": 0, "tokens": 0, "outcome": 0} == {
            **alone.to_dict(),
            **{"cost": 0, "tokens": 0, "outcome": 0},
        }
        columns = ["logprob", "entropy", "sufficiency", "necessity", "causal_completeness"]
        pd.testing.assert_frame_equal(found.to_frame()[columns], alone.to_frame()[columns], rtol=0, atol=1e-5)
        assert found.outcome.get("value", 0) == pytest.approx(alone.outcome.get("value", 0), abs=1e-5)


def test_captions_that_are_run_together_take_less_than_apart(whole, bundled):
    source, written = whole
    costs = [json.loads(line)["cost"] for line in written["jsonl"][".jsonl"].splitlines()]
    assert all(set(cost) == {"forwards", "positions", "captions"} for cost in costs)
    # Rows 0 and 2 are of one picture, whose reading they share; both bear the cost of the group.
    assert costs[0] == costs[2] and costs[0]["captions"] == 2
    questions = [{name: ROWS[n][name] for name in ("question", "answer") if name in ROWS[n]} for n in (0, 2)]
    apart = [
        causal_attrib.score(source.parent / "a.png", ROWS[n]["caption"], model=bundled, **asked).cost
        for n, asked in zip((0, 2), questions, strict=True)
    ]
    assert costs[0]["positions"] < sum(cost["positions"] for cost in apart)


@pytest.mark.parametrize("format", caption_files.FORMATS)
def test_all_formats_hold_the_same(whole, tmp_path, format):
    _, written = whole
    paths = {name: put(files, tmp_path / f"scores.{name}") for name, files in written.items()}
    records = [one.to_dict() for one in caption_files.read(paths[format])]
    assert records == [json.loads(line) for line in written["jsonl"][".jsonl"].splitlines()]
    assert [one.caption for one in Attribution.load_all(paths[format])] == [row["caption"] for row in ROWS]


def test_tables_open_in_pandas(whole, tmp_path):
    _, written = whole
    values = [json.loads(line)["outcome"].get("value", math.nan) for line in written["jsonl"][".jsonl"].splitlines()]
    for format, read in (("parquet", pd.read_parquet), ("csv", pd.read_csv)):
        path = put(written[format], tmp_path / f"scores.{format}")
        frame, captions = read(path), read(caption_files.captions_path(path))
        texts = frame.groupby("caption_id", sort=False)["text"].sum()
        assert texts.tolist() == captions["caption"].tolist() == [row["caption"] for row in ROWS]
        assert frame["image"].nunique() == 3 and captions["caption_id"].tolist() == ["1", "cat", *"3456"]
        named = {2: "likelihood", 4: "objects"}
        assert captions["outcome"].tolist() == [named.get(row, "grounding") for row in range(6)]
        assert captions["value"].tolist() == pytest.approx(values, nan_ok=True)
        assert captions["tokens"].tolist() == frame.groupby("caption_id", sort=False).size().tolist()
        assert captions["words"].tolist() == frame.groupby("caption_id", sort=False)["word"].nunique().tolist()


def _with(table, name, value):
    """The table with another value in the first row of a column."""
    place = table.schema.get_field_index(name)
    values = [value, *table.column(name).to_pylist()[1:]]
    return table.set_column(place, table.schema.field(place), pa.array(values, table.schema.field(place).type))


@pytest.mark.parametrize(
    ("of", "change"),
    [
        ("tokens", lambda table: _with(table, "necessity", float("nan"))),
        ("tokens", lambda table: _with(table, "text", "zzz")),
        ("tokens", lambda table: table.drop_columns(["logprob"])),
        ("captions", lambda table: _with(table, "value", float("inf"))),
        ("captions", lambda table: table.drop_columns(["words"])),
    ],
    ids=["NaN", "text", "column", "infinite", "column of captions"],
)
def test_tables_that_were_edited_are_refused(whole, tmp_path, of, change):
    _, written = whole
    path = put(written["parquet"], tmp_path / "scores.parquet")
    edited = path if of == "tokens" else caption_files.captions_path(path)
    pyarrow.parquet.write_table(change(pyarrow.parquet.read_table(edited)), edited)
    with pytest.raises(InputError, match="damaged"):
        list(caption_files.read(path))


def test_a_manifest_that_lacks_captions_is_refused(whole, tmp_path):
    _, written = whole
    output = f"{tmp_path}/parts/"
    caption_files.write(output, caption_files.read(put(written["parquet"], tmp_path / "scores.parquet")))
    manifest = tmp_path / "parts" / "manifest.json"
    said = json.loads(manifest.read_text())
    for other in (said | {"captions": 99}, said | {"parts": []}):
        manifest.write_text(json.dumps(other))
        with pytest.raises(InputError, match="damaged"):
            list(caption_files.read(output))


@pytest.mark.parametrize("format", ["parquet", "csv"])
def test_tables_of_version_1_load(whole, tmp_path, format):
    """One table, whose `about` holds all but the tokens, as earlier versions wrote it."""
    records = [json.loads(line) for line in whole[1]["jsonl"][".jsonl"].splitlines()]
    frames = []
    for record in records:
        about = {name: value for name, value in record.items() if name not in ("caption_id", "tokens")}
        frame = Attribution.from_dict({name: record[name] for name in record if name != "caption_id"}).to_frame()
        frame.insert(0, "caption_id", record["caption_id"])
        frame.insert(1, "image", record["image"]["path"])
        frames.append(frame.assign(about=[json.dumps(about), *[None] * (len(frame) - 1)]))
    path, table = tmp_path / f"old.{format}", pd.concat(frames, ignore_index=True)
    table.to_parquet(path) if format == "parquet" else table.to_csv(path, index=False, quoting=csv.QUOTE_NONNUMERIC)
    assert [one.to_dict() for one in caption_files.read(path)] == records
    assert [one.caption for one in Attribution.load_all(path)] == [row["caption"] for row in ROWS]
    # It goes into a merge, which writes the tables of today.
    merge(tmp_path / "new.parquet", [path])
    assert taken(tmp_path / "new.parquet") == whole[1]["parquet"]


def test_a_folder_of_parts_holds_the_same(whole, tmp_path, monkeypatch):
    source, written = whole
    put(written["parquet"], tmp_path / "scores.parquet")
    monkeypatch.setattr(caption_files, "_BLOCKS_PER_PART", 1)
    blocks = list(
        caption_files.blocks_of((one.to_dict() for one in caption_files.read(tmp_path / "scores.parquet")), 4)
    )
    caption_files.write_blocks(f"{tmp_path}/scores/", blocks)
    folder = tmp_path / "scores"
    parts = [f"part-0000{n}.parquet" for n in range(2)]
    assert sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()) == [
        *(f"captions/{name}" for name in parts),
        "manifest.json",
        *(f"tokens/{name}" for name in parts),
    ]
    assert pd.read_parquet(folder / "tokens").equals(pd.read_parquet(tmp_path / "scores.parquet"))
    assert list(caption_files.read(folder)) == list(caption_files.read(tmp_path / "scores.parquet"))
    assert [one.caption for one in Attribution.load_all(folder)] == [row["caption"] for row in ROWS]
    merge(tmp_path / "merged.parquet", [folder])
    assert taken(tmp_path / "merged.parquet") == written["parquet"]
    # A second run replaces it whole; a folder of something else is left alone.
    caption_files.write_blocks(folder, blocks[:1])
    assert len(list(caption_files.read(folder))) == 4 and not (folder / "tokens" / parts[1]).exists()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").touch()
    with pytest.raises(InputError, match="other files in it"):
        score_file(source, tmp_path / "other", untouched)
    with pytest.raises(InputError, match="without manifest.json"):
        list(caption_files.read(tmp_path / "other"))


def test_tables_that_do_not_belong_together_are_refused(whole, tmp_path):
    _, written = whole
    path = put(written["parquet"], tmp_path / "scores.parquet")
    beside = caption_files.captions_path(path)
    with pytest.raises(InputError, match="is the table of captions beside scores.parquet"):
        list(caption_files.read(beside))
    table = pyarrow.parquet.read_table(beside)
    pd.read_parquet(beside).iloc[[1, 0, 2, 3, 4, 5]].to_parquet(beside)
    for read in (caption_files.read, Attribution.load_all, lambda path: merge(tmp_path / "merged.jsonl", [path])):
        with pytest.raises(InputError, match="version|fit|damaged"):
            list(read(path))
    pyarrow.parquet.write_table(table.replace_schema_metadata({"copo_tables": "3"}), beside)
    with pytest.raises(InputError, match="tables of version 3, .*: update copo"):
        list(caption_files.read(path))
    beside.unlink()
    with pytest.raises(InputError, match="has its captions in scores.captions.parquet, which is not beside it"):
        list(caption_files.read(path))


@pytest.mark.parametrize("format", ["parquet", "csv"])
def test_tables_of_two_runs_are_told_apart(whole, bundled, tmp_path, format):
    """Same captions, same tokens, other numbers: `score_id` says which rows belong together, in both tables."""
    source, written = whole
    score_file(source, tmp_path / f"other.{format}", lambda: bundled, scoring={"mask": "mean"})
    path, other = put(written[format], tmp_path / f"scores.{format}"), tmp_path / f"other.{format}"
    read = pd.read_parquet if format == "parquet" else pd.read_csv
    tokens, captions = read(path), read(caption_files.captions_path(path))
    assert tokens["score_id"].unique().tolist() == captions["score_id"].tolist() and captions["score_id"].is_unique
    assert not {*captions["score_id"]} & {*read(caption_files.captions_path(other))["score_id"]}
    caption_files.captions_path(other).replace(caption_files.captions_path(path))
    with pytest.raises(InputError, match="damaged"):
        list(caption_files.read(path))


@pytest.mark.parametrize("format", ["parquet", "csv"])
def test_tables_without_score_id_load(whole, tmp_path, format):
    """As the first files of version 2 were."""
    _, written = whole
    path = put(written[format], tmp_path / f"scores.{format}")
    for file in caption_files.files_at(path):
        if format == "parquet":
            pyarrow.parquet.write_table(pyarrow.parquet.read_table(file).drop_columns(["score_id"]), file)
        else:
            file.write_bytes(re.sub(rb',"(score_id|s[0-9a-f]{15})"\n', b"\n", file.read_bytes()))
    assert [one.to_dict() for one in caption_files.read(path)] == [
        json.loads(line) for line in written["jsonl"][".jsonl"].splitlines()
    ]
    merge(tmp_path / f"merged.{format}", [path])
    assert taken(tmp_path / f"merged.{format}") == written[format]


@pytest.mark.parametrize("format", ["parquet", "csv"])
def test_no_file_of_somebody_else_is_replaced(source, tmp_path, format):
    """The name of the second table is ours, and so is the inside of a folder: what copo did not write there stays."""
    mine = tmp_path / f"data.captions.{format}"
    frame = pd.DataFrame({"caption_id": [1], "caption": ["mine"]})
    frame.to_parquet(mine) if format == "parquet" else frame.to_csv(mine, index=False)
    before = mine.read_bytes()
    with pytest.raises(InputError, match=f"data.captions.{format} would be replaced by the table of captions"):
        score_file(source, tmp_path / f"data.{format}", untouched)
    with pytest.raises(InputError, match="would be replaced"):
        merge(tmp_path / f"data.{format}", [source])
    assert mine.read_bytes() == before
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "manifest.json").write_text('{"name": "mine"}')
    with pytest.raises(InputError, match="other files in it"):
        score_file(source, tmp_path / "app", untouched)


def test_rows_may_come_as_csv_or_parquet(source, tmp_path):
    frame = pd.DataFrame(ROWS)
    frame.to_parquet(source.with_suffix(".parquet"))
    frame["objects"] = frame["objects"].map(lambda names: ", ".join(names) if isinstance(names, list) else None)
    frame.to_csv(source.with_suffix(".csv"), index=False)

    def told(path):
        return [(row.caption_id, row.image, row.caption, row.prompt, row.objects) for row in read_caption_rows(path)]

    assert told(source.with_suffix(".csv")) == told(source.with_suffix(".parquet")) == told(source)
    assert told(source)[1][0] == "cat"
    assert told(source)[4] == ("5", str(source.with_name("b.png")), "a cat", None, ("cat",))


# -- killed and gone on with ------------------------------------------------------------------------------------------


def lines_of(path):
    return path.read_bytes().count(b"\n") if path.exists() else 0


@pytest.mark.parametrize("lines", [1, 3, 4])
def test_a_run_that_was_killed_goes_on(whole, bundled, lines):
    """kill -9 as soon as the journal has so many lines: settings, model, and a line for each finished group."""
    source, written = whole
    output = source.with_name("scores.parquet")
    journal = source.with_name("scores.parquet.partial.jsonl")
    process = multiprocessing.get_context("fork").Process(target=score_file, args=(source, output, lambda: bundled))
    process.start()
    while lines_of(journal) < lines:
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert process.exitcode == -signal.SIGKILL and not output.exists()
    done = score_file(source, output, lambda: bundled)
    assert done.before >= (lines >= 3)
    assert taken(output) == written["parquet"]


def test_a_journal_cut_anywhere_gives_the_same_bytes(whole, bundled, tmp_path, monkeypatch):
    """What a kill, a full disk or a power cut leaves is a beginning of the whole journal."""
    source, written = whole
    output, journal = tmp_path / "scores.jsonl", tmp_path / "scores.jsonl.partial.jsonl"
    monkeypatch.setattr("causal_attrib.batch.run.Journal.close", lambda self, remove: self._file.close())
    score_file(source, output, lambda: bundled)
    complete = journal.read_bytes()
    ends = [place + 1 for place, byte in enumerate(complete) if byte == ord("\n")]
    assert len(ends) == 2 + 3
    for cut in (5, ends[1] - 1, ends[2] + 20, ends[3], ends[4] - 3):
        output.unlink()
        journal.write_bytes(complete[:cut])
        finished = sum(end <= cut for end in ends[2:])
        assert score_file(source, output, lambda: bundled).before == 2 * finished
        assert output.read_bytes() == written["jsonl"][".jsonl"]
        assert journal.read_bytes() == complete


def test_a_finished_journal_needs_no_model(whole, bundled, tmp_path):
    source, written = whole
    output, journal = tmp_path / "scores.jsonl", tmp_path / "scores.jsonl.partial.jsonl"

    def kill(done, total):
        if done == total:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        score_file(source, output, lambda: bundled, progress=kill)
    assert journal.exists() and not output.exists()
    assert score_file(source, output, untouched).before == 6
    assert output.read_bytes() == written["jsonl"][".jsonl"] and not journal.exists()


@pytest.mark.parametrize("change", ["flag", "input", "limit", "shard", "model"])
def test_other_settings_do_not_go_on_with_it(source, bundled, tmp_path, change):
    output = tmp_path / "scores.jsonl"

    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        score_file(source, output, lambda: bundled, limit=1, model={"model": "one"}, progress=lambda *_: stop(*_))
    others = {
        "flag": {"scoring": {"mask": "mean"}},
        "limit": {"limit": 2},
        "shard": {"shard": "1/2"},
        "model": {"model": {"model": "two"}},
    }
    if change == "input":
        source.write_text(source.read_text() + "\n")
    settings = {"limit": 1, "model": {"model": "one"}} | others.get(change, {})
    with pytest.raises(InputError, match="was begun with .* --fresh"):
        score_file(source, output, untouched, **settings)
    assert score_file(source, output, lambda: bundled, fresh=True, **settings).before == 0


# -- rows that fail ---------------------------------------------------------------------------------------------------


def test_rows_that_fail_do_not_stop_the_others(tmp_path, bundled):
    source, output, told = made(tmp_path / "in", FAILING), tmp_path / "scores.csv", []
    done = score_file(source, output, lambda: bundled, on_failure=told.append)
    assert [(failure.row, failure.where) for failure in done.failures] == [
        (2, f"{source} line 3"),
        (3, f"{source} line 4"),
    ]
    assert sorted(failure.row for failure in told) == [2, 3]
    assert "no file" in done.failures[0].reason and "empty" in done.failures[1].reason
    assert [one.caption_id for one in caption_files.read(output)] == ["1", "cat", "5"]
    listed = [json.loads(line) for line in failures_path(output).read_text().splitlines()]
    assert [row["id"] for row in listed] == ["3", "4"]

    again = score_file(source, output, lambda: bundled)
    # The caption beside one that failed is scored again with it.
    assert (again.scored, again.before, again.failures) == (3, 2, done.failures)
    # What it had not found is there now, so the row is scored; the empty caption fails again.
    Image.new("RGB", (64, 64)).save(source.with_name("none.png"))
    third = score_file(source, output, lambda: bundled)
    assert [failure.row for failure in third.failures] == [3]
    assert [one.caption_id for one in caption_files.read(output)] == ["1", "cat", "3", "5"]


def test_what_failed_and_was_mended_equals_what_never_failed(tmp_path, bundled):
    source, output = made(tmp_path / "in"), tmp_path / "scores.jsonl"
    score_file(source, output, lambda: bundled)
    never = output.read_bytes()
    kept = source.with_name("a.png").read_bytes()
    source.with_name("a.png").write_bytes(b"damaged")
    assert len(score_file(source, output, lambda: bundled).failures) == 2
    source.with_name("a.png").write_bytes(kept)
    done = score_file(source, output, lambda: bundled)
    assert (done.before, done.failures, output.read_bytes()) == (4, [], never)
    assert not failures_path(output).exists()


def test_half_a_character_fails_its_row_only(tmp_path, bundled):
    rows = [ROWS[0], {**ROWS[0], "id": "x\ud800"}, {"image": "\udfff.png"}, {**ROWS[5], "other": ["\ud800"]}, ROWS[5]]
    source, output = made(tmp_path / "in", rows), tmp_path / "scores.csv"
    done = score_file(source, output, lambda: bundled)
    assert [failure.row for failure in done.failures] == [1, 2, 3] and done.scored == 2
    assert all("half a character" in failure.reason for failure in done.failures)
    assert read_failures(output) == done.failures
    assert [failure.id for failure in done.failures] == [r"x\ud800", "3", "4"]
    assert [one.caption_id for one in caption_files.read(output)] == ["1", "5"]


def test_a_full_disk_is_told_and_gone_on_from(whole, bundled, tmp_path, most_bytes):
    source, written = whole
    output = tmp_path / "scores.jsonl"
    with (
        most_bytes(10_000),
        pytest.raises(InputError, match="what is finished is kept in .*: make room and run the same command again"),
    ):
        score_file(source, output, lambda: bundled)
    assert not output.exists() and output.with_name("scores.jsonl.partial.jsonl").stat().st_size <= 10_000
    assert score_file(source, output, lambda: bundled).before > 0
    assert output.read_bytes() == written["jsonl"][".jsonl"] and [path.name for path in tmp_path.iterdir()] == [
        "scores.jsonl"
    ]


def test_an_error_of_no_row_is_a_failure_too_unless_strict(source, tmp_path, bundled):
    """Weights that are gone make every forward fail, which no row is to blame for."""
    broken = causal_attrib.VLM(copy.deepcopy(bundled.model), bundled.processor, name="broken")
    broken.model.lm_head = None
    done = score_file(source, tmp_path / "a.jsonl", lambda: broken, limit=1)
    assert "TypeError" in done.failures[0].reason
    with pytest.raises(TypeError):
        score_file(source, tmp_path / "b.jsonl", lambda: broken, limit=1, strict=True)


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([{"caption": "a dog"}], "no key 'image'"),
        ([{"image": 3}], "give the path of a picture"),
        ([{"image": "a.png", "caption": ["a"]}], "give a string"),
        ([{"image": "a.png", "id": "x"}, {"image": "a.png", "id": "x"}], "ids must differ"),
        ([{"image": "a.png", "id": 2}, {"image": "a.png"}], "ids must differ"),
        ([{"image": "a.png", "id": None}, {"image": "a.png", "id": [1]}], "number or a string"),
        ([{"image": "a.png", "objects": 3}], "write a list"),
        ([{"image": None}], "line 1 has null under 'image'"),
        ([{"images": []}], "line 1 has an empty list under 'images'"),
        ([{"images": ["a.png", "b.png"]}], "2 pictures under 'images', which are for training only"),
        *(
            ([{"image": "a.png", name: "a dog"}], f"has no key 'caption', but has '{name}': rename that to 'caption'")
            for name in ("captions", "text", "response", "completion", "chosen")
        ),
    ],
)
def test_a_file_that_is_wrong_is_told_before_the_model_is_loaded(tmp_path, rows, told):
    with pytest.raises(InputError, match=told):
        score_file(made(tmp_path / "in", rows), tmp_path / "scores.csv", untouched)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"limit": 0}, "limit is 0"),
        *(({"shard": shard}, "shard cannot be") for shard in ("0/2", "3/2", "2", "a/b", "1/2/3", "-1/2")),
        ({"scoring": {"mask": "gone"}}, "gone"),
        ({"scoring": {"outcome": "gone"}}, "no outcome 'gone'"),
        ({"scoring": {"level": "letter"}}, "letter"),
        ({"scoring": {"seed": -1}}, "seed"),
        ({"scoring": {"batch_size": 0}}, "batch size"),
    ],
)
def test_settings_that_are_wrong_are_told_before_the_model_is_loaded(source, tmp_path, settings, told):
    with pytest.raises(InputError, match=told):
        score_file(source, tmp_path / "scores.csv", untouched, **settings)


@pytest.mark.parametrize("name", ["scores.html", "scores", "none/scores.csv"])
def test_an_output_that_cannot_be_written(source, tmp_path, name):
    with pytest.raises(InputError, match="suffix|cannot be written"):
        score_file(source, tmp_path / name, untouched)


# -- shards -----------------------------------------------------------------------------------------------------------


def sharded(source, folder, bundled, count, format="jsonl", **settings):
    parts = [folder / f"part{number}.{format}" for number in range(1, count + 1)]
    for number, part in enumerate(parts, 1):
        score_file(source, part, lambda: bundled, shard=f"{number}/{count}", **settings)
    return parts


@pytest.mark.parametrize(("count", "format"), [(2, "parquet"), (5, "csv")])
def test_shards_make_the_same_file(whole, bundled, tmp_path, count, format):
    source, written = whole
    parts = sharded(source, tmp_path, bundled, count, format)
    merged = tmp_path / f"merged.{format}"
    # A pattern such as part*.parquet names the tables of captions as well.
    assert merge(merged, sorted(tmp_path.glob("part*"), reverse=True)) == (6, [])
    assert taken(merged) == written[format]
    # Formats may be changed on the way.
    for other in caption_files.FORMATS:
        merge(tmp_path / f"merged.{other}", parts)
        assert taken(tmp_path / f"merged.{other}") == written[other]


def test_lines_of_another_hand_are_merged_too(whole, tmp_path):
    """Arrow reads lines as we write them, and Python those that are written in another way, and says what is wrong."""
    _, written = whole
    path, records = tmp_path / "other.jsonl", [json.loads(line) for line in written["jsonl"][".jsonl"].splitlines()]
    path.write_text("".join(json.dumps(dict(reversed(one.items())), separators=(",", ":")) + "\r\n" for one in records))
    merge(tmp_path / "merged.jsonl", [path])
    assert {**taken(tmp_path / "merged.jsonl")}[".jsonl"].count(b"\n") == 6
    caption_files.write(path, map(caption_files.Scored.from_dict, records))
    assert path.read_bytes() == written["jsonl"][".jsonl"]
    path.write_bytes(path.read_bytes().replace(b'"text": " dog"', b'"text": " cow"', 1))
    with pytest.raises(InputError, match="damaged"):
        merge(tmp_path / "merged.jsonl", [path])


def test_rows_that_failed_in_a_shard_are_not_missing(tmp_path, bundled):
    source = made(tmp_path / "in", FAILING)
    parts = sharded(source, tmp_path, bundled, 2)
    score_file(source, tmp_path / "whole.jsonl", lambda: bundled)
    count, failures = merge(tmp_path / "merged.jsonl", parts)
    assert (count, [failure.row for failure in failures]) == (3, [2, 3])
    for name in ("{}.jsonl", "{}.jsonl.failed.jsonl"):
        assert (tmp_path / name.format("merged")).read_bytes() == (tmp_path / name.format("whole")).read_bytes()


def test_parts_that_do_not_fit_are_refused(whole, bundled, tmp_path):
    source, _ = whole
    first, second = sharded(source, tmp_path, bundled, 2)
    merged = tmp_path / "merged.jsonl"
    (tmp_path / "other").mkdir()
    _, other = sharded(source, tmp_path / "other", bundled, 2, scoring={"mask": "mean"})
    for parts, told in (
        ([first], "in no part"),
        ([second], "in no part"),
        ([first, second, first], "there twice"),
        ([first, other], "the mask"),
        ([first, tmp_path / "none.jsonl"], "There is no file"),
        ([first, source], "no file of scored captions"),
    ):
        with pytest.raises(InputError, match=told):
            merge(merged, parts)
        assert not list(tmp_path.glob("*merged*"))


def test_numbers_as_ids_survive_pandas(tmp_path):
    rows = pd.DataFrame({"image": ["a.png", "b.png"], "id": [7, None]})
    rows.to_parquet(tmp_path / "rows.parquet")
    assert [row.caption_id for row in read_caption_rows(tmp_path / "rows.parquet")] == ["7", "2"]


def test_two_runs_do_not_write_one_output(source, bundled, tmp_path):
    output = tmp_path / "scores.jsonl"
    refused = []

    def another(done, total):
        for fresh in (False, True):
            with pytest.raises(InputError, match="Another run is writing .*scores.jsonl; wait for it") as refusal:
                score_file(source, output, untouched, fresh=fresh)
            refused.append(refusal)

    assert score_file(source, output, lambda: bundled, progress=another).scored == 6
    assert len(refused) == 2 * 3
    assert [one.caption_id for one in caption_files.read(output)] == ["1", "cat", "3", "4", "5", "6"]

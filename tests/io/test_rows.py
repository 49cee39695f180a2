"""Rows: every format gives the same, and what is wrong is told in one short line that names file, line and key."""

import base64
import gzip
import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from causal_attrib.errors import InputError
from causal_attrib.io.rows import Row, files_of, read_rows, sha256_of
from causal_attrib.scenes import write_dataset
from tests.fuzz import fuzz

ROWS = [{"image_id": 1, "caption": "a [dog], {x}"}, {"image_id": 2, "caption": "two\ncats"}]


def png(colour="red"):
    buffer = io.BytesIO()
    Image.new("RGB", (40, 30), colour).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    "text, lines",
    [
        (json.dumps(ROWS), [1, 1]),
        (json.dumps(ROWS, indent=2), [2, 6]),
        ("\n".join(map(json.dumps, ROWS)) + "\n\n", [1, 2]),
        ("\n".join(json.dumps(row, indent=1) for row in ROWS), [1, 5]),  # Instruction1_llava.json (evaluation.md 1.9)
        ("\ufeff" + json.dumps(ROWS), [1, 1]),
    ],
    ids=["list", "indented list", "lines", "objects in a row", "byte order mark"],
)
@pytest.mark.parametrize("zipped", [False, True])
def test_every_way_to_write_rows(tmp_path, text, lines, zipped):
    path = tmp_path / ("rows.json.gz" if zipped else "rows.json")
    path.write_bytes(gzip.compress(text.encode()) if zipped else text.encode())
    rows = read_rows(path)
    assert [row.value for row in rows] == ROWS
    assert [row.line for row in rows] == lines


# -- tables -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("zipped", [False, True])
def test_csv_has_lines_and_empty_cells(tmp_path, zipped):
    text = 'image,caption,id\n1.png,"two\ncats",\n\n2.png,"a ""dog"", on grass",x\n'
    path = tmp_path / ("rows.csv.gz" if zipped else "rows.csv")
    path.write_bytes(gzip.compress(text.encode()) if zipped else text.encode())
    first, second = read_rows(path)
    assert first.value == {"image": "1.png", "caption": "two\ncats", "id": None} and first.where == f"{path} line 2"
    assert second.value == {"image": "2.png", "caption": 'a "dog", on grass', "id": "x"} and second.line == 5


def test_parquet_keeps_pictures_as_the_bytes_that_they_are(tmp_path):
    rows = [
        {"image": {"bytes": png(), "path": "a.png"}, "id": 7},
        {"image": {"bytes": None, "path": "b.png"}, "id": None},
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "rows.parquet")
    read = read_rows(tmp_path / "rows.parquet")
    assert [row.value for row in read] == rows
    assert read[1].where == f"{tmp_path / 'rows.parquet'} row 2"
    assert read[0].picture(tmp_path) == {"bytes": png(), "path": "a.png"}
    assert read[1].picture(tmp_path) == str(tmp_path / "b.png")


@pytest.fixture
def saved(tmp_path):
    """A data set as `save_to_disk` of Hugging Face writes it, with pictures and class labels, in two files."""
    datasets = pytest.importorskip("datasets", reason="datasets is not installed (extra `train`)")
    features = datasets.Features(
        {"image": datasets.Image(), "text": datasets.Value("string"), "label": datasets.ClassLabel(names=["yes", "no"])}
    )
    rows = {
        "image": [{"bytes": png("red"), "path": None}, {"bytes": png("blue"), "path": None}],
        "text": ["Is there a dog?", "Is there a cat?"],
        "label": [0, 1],
    }
    table = datasets.Dataset.from_dict(rows, features=features)
    table.save_to_disk(tmp_path / "saved", num_shards=2)
    return tmp_path / "saved", table, datasets


def test_a_folder_that_datasets_saved(saved):
    folder, table, datasets = saved
    rows = read_rows(folder)
    # The first of the names is "yes", so 0 is: as numbers they would read as no and yes.
    assert [row.value["label"] for row in rows] == ["yes", "no"]
    assert [row.value["image"]["bytes"] for row in rows] == [png("red"), png("blue")]
    assert [row.where for row in rows] == [f"{folder} row 1", f"{folder} row 2"]
    assert [file.suffix for file in files_of(folder)] == [".arrow", ".arrow"] and len(sha256_of(folder)) == 64

    table.to_parquet(folder.with_name("rows.parquet"))
    assert [row.value for row in read_rows(folder.with_name("rows.parquet"))] == [row.value for row in rows]

    split = folder.with_name("splits")
    datasets.DatasetDict({"train": table}).save_to_disk(split)
    assert [row.value for row in read_rows(split)] == [row.value for row in rows]
    datasets.DatasetDict({"train": table, "test": table}).save_to_disk(folder.with_name("two"))
    with pytest.raises(InputError, match=r"holds 2 splits .*; give the folder of one, such as .*two/train"):
        read_rows(folder.with_name("two"))


def test_a_saved_folder_reads_no_file_outside_of_it(saved):
    folder, _, _ = saved
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": "../rows.arrow"}]}))
    with pytest.raises(InputError, match="state.json is damaged"):
        read_rows(folder)


def test_a_folder_of_scenes_has_captions_and_questions(tmp_path):
    folder = write_dataset(tmp_path / "scenes", 2, seed=0)
    assert [row.value["image"] for row in read_rows(folder)] == ["000000.png", "000001.png"]
    assert "label" in read_rows(folder, of_scenes="questions.jsonl")[0].value
    assert read_rows(folder)[0].picture(folder) == str(folder / "images" / "000000.png")
    with pytest.raises(InputError, match="is a folder, but none that `copo scenes` .it has no captions.jsonl. or"):
        read_rows(tmp_path)


# -- what is wrong ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text, said",
    [
        ("", "is empty"),
        ("[]", "is empty"),
        ('{"a": 1}\n{"a": ', "line 2 is not JSON"),
        ('{"a": 1}\n{"a": 2\n{"a": 3}\n', "line 2 is not JSON"),
        ('[{"a": 1}', "line 1"),
        ('[{"a": 1}] {"b": 2}', "line 1"),
        ('{"a": 1}\n7', "line 2 holds 7"),
        ("image,caption\n1,dog", "line 1 is not JSON"),
        ('{"a": 1}\n{"a": ' + "[" * 100_000, "line 2 cannot be read .it nests deeper than 100 levels"),
        ('{"a": ' + "[" * 101 + "]" * 101 + "}", "line 1 cannot be read .it nests deeper"),
        ('{"a": ' + "9" * 5000 + "}", "line 1 cannot be read .*digits"),
        ('{"a": NaN}', "NaN is no number"),
        ('{"a": -Infinity}', "-Infinity is no number"),
        ('{"a": 1e999}', "1e999 is too large a number"),
        ('{"image": "1.png", "image": "2.png"}', "the key 'image' stands twice"),
        ('{"a": "\\ud800"}', "half a character .a lone surrogate. under 'a'"),
        ('{"a": {"\\udfff": 1}}', "half a character"),
    ],
)
def test_files_that_are_no_rows(tmp_path, text, said):
    path = tmp_path / "rows.json"
    path.write_text(text)
    with pytest.raises(InputError, match=said) as error:
        read_rows(path)
    assert len(str(error.value)) < 400 and str(error.value).isprintable()


@pytest.mark.parametrize(
    "name, data, said",
    [
        ("rows.csv", b"image,caption\na.png\n", "line 2 has 1 cells and its first line names 2 columns"),
        ("rows.csv", b"image\na.png,b\n", "line 2 has 2 cells"),
        ("rows.csv", b'image\n"a.png\n', "is no CSV file"),
        ("rows.csv", b"image,image\na,b\n", "two columns 'image'"),
        ("rows.csv", b"image\n", "is empty"),
        ("rows.csv", b"\xff\xfe", "is not UTF-8"),
        ("rows.parquet", b"PAR1PAR1", "is no Parquet file that can be read"),
        ("rows.parquet.gz", b"PAR1PAR1", "cannot be read"),
    ],
)
def test_tables_that_are_damaged(tmp_path, name, data, said):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError, match=said):
        read_rows(tmp_path / name)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(InputError, match="no file"):
        read_rows(tmp_path / "none.json")
    with pytest.raises(InputError, match="folder"):
        read_rows(tmp_path)
    (tmp_path / "latin.json").write_bytes(b'{"a": "caf\xe9"}')
    with pytest.raises(InputError, match="UTF-8"):
        read_rows(tmp_path / "latin.json")
    (tmp_path / "x.json.gz").write_bytes(b"no gzip")
    with pytest.raises(InputError, match="cannot be read"):
        read_rows(tmp_path / "x.json.gz")


def test_a_missing_key_names_line_and_key(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"id": 1}\n{"image": 2}\n')
    with pytest.raises(
        InputError, match=r"line 1 has no key 'image' \(it has 'id'\); name the right one with --image-key"
    ):
        read_rows(path)[0].need(("image",), "--image-key")
    with pytest.raises(InputError, match="line 2 has 2 under 'image'"):
        read_rows(path)[1].text("image")


def test_what_an_error_shows_is_cut():
    for value in (b"x" * 1_000_000, [b"x" * 1_000_000] * 1000, {"a": ["x" * 1_000_000]}, 10**4000):
        with pytest.raises(InputError) as error:
            Row({"caption": value}, "rows.parquet", 3, "row").text("caption")
        assert str(error.value).startswith("rows.parquet row 3 has ") and len(str(error.value)) < 160
    with pytest.raises(InputError) as error:
        Row({"key" * 1000: 1, **{str(n): n for n in range(1000)}}, "a\nb.jsonl", 1).need(("image",))
    assert str(error.value).startswith(r"a\nb.jsonl line 1 has no key 'image'") and len(str(error.value)) < 250


@pytest.mark.parametrize("value", [None, True, 1.5, [], ""])
def test_an_image_is_a_number_or_a_name(tmp_path, value):
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"image": value}))
    with pytest.raises(InputError, match="number or the file name"):
        read_rows(path)[0].image("image")


# -- pictures ---------------------------------------------------------------------------------------------------------

URI = "data:image/png;base64," + base64.b64encode(png()).decode()
BYTES = {"bytes": png(), "path": None}


@pytest.mark.parametrize(
    "row, source",
    [
        ({"image": "a.png"}, "in/a.png"),
        ({"image": "b.png"}, "in/images/b.png"),
        ({"images": ["a.png"]}, "in/a.png"),
        ({"image": None, "images": ["a.png"]}, "in/a.png"),
        ({"image": ["a.png"]}, "in/a.png"),
        ({"image": URI}, URI),
        ({"images": [URI]}, URI),
        ({"image": BYTES}, BYTES),
        ({"images": [BYTES]}, BYTES),
        ({"image": {"bytes": None, "path": "b.png"}}, "in/images/b.png"),
        ({"image": "https://a.b/c.png"}, "https://a.b/c.png"),  # which `read_picture` refuses with a sentence
    ],
)
def test_a_row_has_one_picture(tmp_path, monkeypatch, row, source):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in" / "images").mkdir(parents=True)
    (tmp_path / "in" / "images" / "b.png").write_bytes(png())
    assert Row(row, "rows.jsonl", 1).picture("in") == source


@pytest.mark.parametrize(
    "row, said",
    [
        ({"img": "a.png"}, r"line 1 has no key 'image' \(it has 'img'\); add the path of its picture"),
        ({"image": None}, "line 1 has null under 'image'; give the path"),
        ({"images": []}, "line 1 has an empty list under 'images'; give the path"),
        ({"images": ["a.png", "b.png"]}, "line 1 has 2 pictures under 'images', which are for training only"),
        ({"image": 3}, "line 1 has 3 under 'image'"),
        ({"image": {"bytes": "x"}}, "line 1 has {'bytes': 'x'} under 'image'"),
        ({"image": {"bytes": None, "path": None}}, "line 1 has {'bytes': None, 'path': None} under 'image'"),
    ],
)
def test_rows_without_a_picture_or_with_several(row, said):
    with pytest.raises(InputError, match=said):
        Row(row, "rows.jsonl", 1).picture("in")


# -- anything ---------------------------------------------------------------------------------------------------------

text = st.text(st.characters(exclude_categories=()), max_size=12)  # lone surrogates too
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=12,
)
NAMES = ["rows.jsonl", "rows.json.gz", "rows.csv", "rows.csv.gz", "rows.parquet", "state.json"]


def read_all(path):
    """All that readers ask of rows; only an InputError may come of it, and it is one line."""
    try:
        for row in read_rows(path, keep_faulty=True):
            for ask in (
                lambda row: row.picture(path.parent),
                lambda row: row.image("image"),
                lambda row: row.text("image"),
            ):
                if "image" in row.value:
                    try:
                        ask(row)
                    except InputError as error:
                        assert str(error).isprintable() and len(str(error)) < 500
    except InputError as error:
        assert str(error).isprintable() and len(str(error)) < 600


@given(name=st.sampled_from(NAMES), data=st.binary(max_size=200))
@fuzz
def test_any_bytes_are_rows_or_one_sentence(tmp_path, name, data):
    path = tmp_path / name
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") and data[:1] != b"\0" else data)
    read_all(path.parent if name == "state.json" else path)


@given(rows=st.lists(anything | st.dictionaries(st.sampled_from(["image", "images", "caption"]), anything), max_size=4))
@example([{"image": {"bytes": None, "path": "\0"}}])
@fuzz
def test_any_json_is_rows_or_one_sentence(tmp_path, rows):
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    read_all(path)


@given(place=st.integers(0, 10_000), byte=st.integers(0, 255), cut=st.integers(0, 3))
@fuzz
def test_a_damaged_parquet_file_is_rows_or_one_sentence(tmp_path, place, byte, cut):
    buffer = io.BytesIO()
    table = pa.table({"image": [{"bytes": b"\x89PNG", "path": "a.png"}] * 3, "caption": ["a dog", None, "a cat"]})
    pq.write_table(table, buffer)
    data = bytearray(buffer.getvalue())
    data[place % len(data)] = byte
    path = tmp_path / "rows.parquet"
    path.write_bytes(data if cut else data[: place % len(data)])
    read_all(path)


def test_a_newline_in_a_name_does_not_break_the_sentence(tmp_path):
    with pytest.raises(InputError) as error:
        read_rows(tmp_path / "a\n\x1b[31m.jsonl")
    assert r"a\n\x1b[31m.jsonl" in str(error.value) and str(error.value).isprintable()

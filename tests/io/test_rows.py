import gzip
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from causal_attrib.errors import InputError
from causal_attrib.io.rows import image_id, read_rows

ROWS = [{"image_id": 1, "caption": "a [dog], {x}"}, {"image_id": 2, "caption": "two\ncats"}]


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
    ],
)
def test_files_that_are_no_rows(tmp_path, text, said):
    path = tmp_path / "rows.json"
    path.write_text(text)
    with pytest.raises(InputError, match=said):
        read_rows(path)


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


@pytest.mark.parametrize("value", [None, True, 1.5, [], ""])
def test_an_image_is_a_number_or_a_name(tmp_path, value):
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"image": value}))
    with pytest.raises(InputError, match="number or the file name"):
        read_rows(path)[0].image("image")


@given(st.integers(0, 10**12 - 1))
def test_coco_names_and_numbers_are_one_image(number):
    assert (
        image_id(number) == image_id(f"COCO_val2014_{number:012d}.jpg") == image_id(f"{number:012d}.jpg") == str(number)
    )


def test_other_names_stay():
    assert image_id("AMBER_1.jpg") == "AMBER_1.jpg" and image_id("2405722.jpg") == "2405722.jpg"

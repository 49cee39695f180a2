"""`copo merge`: shards from the command line make the file of one run."""

import json

import pytest
from PIL import Image

from causal_attrib.batch import caption_rows as batch


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(batch, "MOST_TOGETHER", 2)
    for name, colour in (("a", "red"), ("b", "green")):
        Image.new("RGB", (64, 64), colour).save(tmp_path / f"{name}.png")
    rows = [
        {"image": f"{name}.png", "caption": f"a {thing}"} for thing in ("dog", "cat") for name in ("a", "b", "none")
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def score(copo, folder, output, *flags):
    return copo("score", "--input", folder / "rows.jsonl", "--output", folder / output, *flags).exit_code


def test_shards_make_the_file_of_one_run(copo, folder):
    assert score(copo, folder, "whole.parquet") == 1
    # Those of none.png, which is not there, are the third group.
    assert [score(copo, folder, f"{part}.parquet", "--shard", f"{part}/3") for part in (1, 2, 3)] == [0, 0, 1]
    result = copo("merge", folder / "merged.parquet", *(folder / f"{part}.parquet" for part in (3, 1, 2)))
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.splitlines()[0] == f"Wrote 4 captions to {folder / 'merged.parquet'}"
    assert "2 rows failed" in result.stderr
    for suffix in ("", ".failed.jsonl"):
        merged, whole = (folder / f"{name}.parquet{suffix}" for name in ("merged", "whole"))
        assert merged.read_bytes() == whole.read_bytes()


def test_what_does_not_fit(copo, refused, folder):
    score(copo, folder, "1.jsonl", "--shard", "1/3")
    assert "in no part" in refused("merge", folder / "merged.jsonl", folder / "1.jsonl")
    assert "there twice" in refused("merge", folder / "merged.jsonl", folder / "1.jsonl", folder / "1.jsonl")
    assert "There is no file" in refused("merge", folder / "merged.jsonl", folder / "none.jsonl")
    assert "names no format" in refused("merge", folder / "merged.txt", folder / "1.jsonl")
    assert not list(folder.glob("*merged*"))


@pytest.mark.parametrize("format", ["parquet", "csv", "jsonl"])
def test_a_shard_may_have_nothing_to_do(copo, folder, monkeypatch, format):
    """Of so short a file all captions are run together, by the first shard."""
    monkeypatch.setattr(batch, "MOST_TOGETHER", 8)
    assert [score(copo, folder, f"{n}.{format}", "--shard", f"{n}/2") for n in (1, 2)] == [1, 0]
    assert copo("merge", folder / f"merged.{format}", *(folder / f"{n}.{format}" for n in (1, 2))).exit_code == 1
    assert score(copo, folder, f"whole.{format}") == 1
    assert (folder / f"merged.{format}").read_bytes() == (folder / f"whole.{format}").read_bytes()

"""`copo diff` of two models: the bundled one, and the same with its words of the picture weakened."""

import copy
import json

import pandas as pd
import pytest
import torch
from PIL import Image

from causal_attrib.batch.run import score_file
from causal_attrib.results import caption_files
from causal_attrib.vlm import VLM

ROWS = [("a", "a dog and a cat"), ("b", "a dog on the grass"), ("a", "a cat")]


@pytest.fixture(scope="module")
def files(tmp_path_factory, bundled, park):
    folder = tmp_path_factory.mktemp("diff")
    for number, name in enumerate("ab"):
        Image.open(park).convert("RGB").rotate(90 * number).resize((96, 96)).save(folder / f"{name}.png")
    source = folder / "rows.jsonl"
    source.write_text("".join(json.dumps({"image": f"{name}.png", "caption": text}) + "\n" for name, text in ROWS))
    model = copy.deepcopy(bundled.model)
    with torch.no_grad():
        for weight in model.model.multi_modal_projector.parameters():
            weight.mul_(0.5)
    weakened = VLM(model, bundled.processor, name="weakened")
    for name, vlm in (("base", bundled), ("tuned", weakened)):
        score_file(source, folder / f"{name}.parquet", lambda vlm=vlm: vlm)
    return folder / "base.parquet", folder / "tuned.parquet"


def test_what_changed(copo, files):
    result = copo("diff", *files, "--json", "--bootstrap", "200", "--quiet")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert (found["captions"], found["images"], found["words"]) == (3, 2, 12)
    # Every word of these captions is one token, so the mean over words is that over rows of the tables.
    base, tuned = map(pd.read_parquet, files)
    assert len(base) == 12
    for one in found["measures"]:
        assert one["change"]["value"] == pytest.approx((tuned[one["measure"]] - base[one["measure"]]).mean(), abs=1e-9)
    assert {one["measure"] for one in found["measures"]} >= {"necessity", "logprob"}
    assert [one["word"] for one in found["changed"]] in (["a", "dog"], ["dog", "a"])
    assert any(one["change"]["value"] != 0 for one in found["measures"])


def test_a_table_and_what_verdicts_would_add(copo, files):
    result = copo("diff", *files, "--bootstrap", "200")
    assert (
        "A to B  3 captions, 2 images, 12 words" in result.stdout and "Words whose necessity changed" in result.stdout
    )
    assert "--verdict" in result.stderr


@pytest.mark.parametrize(("part", "key", "value"), [("outcome", "words", "content"), ("settings", "tokens", "content")])
def test_numbers_of_other_words_are_not_compared(refused, files, tmp_path, part, key, value):
    changed = list(caption_files.read(files[1]))
    for one in changed:
        one.record[part] |= {key: value}
    caption_files.write(tmp_path / "other.parquet", changed)
    assert f"'all' and {value!r}" in refused("diff", files[0], tmp_path / "other.parquet")


def test_a_file_and_itself(copo, files):
    found = json.loads(copo("diff", files[0], files[0], "--json", "--bootstrap", "100").stdout)
    assert all(one["change"] == {"value": 0.0, "low": 0.0, "high": 0.0} for one in found["measures"])


def test_files_of_something_else(refused, files, tmp_path):
    other = tmp_path / "rows.jsonl"
    other.write_text('{"caption": "a dog"}\n')
    assert "no file of scored captions" in refused("diff", files[0], other)
    assert "There is no file" in refused("diff", files[0], tmp_path / "none.parquet")
    assert "names no format" in refused("diff", files[0], tmp_path / "none.txt")

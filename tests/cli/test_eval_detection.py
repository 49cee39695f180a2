"""`copo eval detection`: from pictures to a table, and what it refuses."""

import json

import numpy as np
import pytest
from PIL import Image

from causal_attrib.scenes import render, sample_scene


@pytest.fixture(scope="module")
def worlds(tmp_path_factory):
    """Scenes of so few pixels that the bundled model names objects that are not there."""
    folder = tmp_path_factory.mktemp("worlds")
    rng, objects = np.random.default_rng(3), {}
    for number in range(6):
        scene = sample_scene(rng, count=2)
        picture = render(scene)[0]
        picture.resize((14, 14)).resize(picture.size, Image.Resampling.NEAREST).save(folder / f"{number}.png")
        objects[str(number)] = [sticker.cls for sticker in scene.objects]
    (folder / "objects.json").write_text(json.dumps(objects))
    return folder


def test_a_table_and_its_json(copo, worlds, tmp_path):
    flags = ("--images", worlds, "--objects", worlds / "objects.json", "--signals", "logprob,evidence,base_rate")
    said, curves, out = tmp_path / "said.jsonl", tmp_path / "curves.pdf", tmp_path / "scores.json"
    result = copo(
        *("eval", "detection", "--model", "bundled", *flags, "--drawn-captions", 1, "--bootstrap", 100),
        *("--save", said, "--curves", curves, "--out", out),
    )
    assert result.exit_code == 0, result.output
    for told in ("FPR at 95 %", "within the", "Commonest word:", "AUROCs were compared", "base_rate (control)"):
        assert told in result.stdout
    assert curves.read_bytes().startswith(b"%PDF") and "Wrote" in result.stderr
    record = json.loads(out.read_text())
    assert record["benchmark"] == "detection" and record["counts"]["captions"] == 12
    assert record["settings"]["model"]["id"] == "bundled"
    names = {one["signal"] for one in record["signals"]}
    assert {"logprob", "evidence", "base_rate"} <= names
    assert set(record["spearman"]) == {"logprob", "evidence", "base_rate"}

    again = copo("eval", "detection", *flags, "--captions", said, "--bootstrap", 100, "--json")
    assert again.exit_code == 0, again.output
    assert json.loads(again.stdout)["counts"] == record["counts"]


def test_what_is_refused(refused, worlds, tmp_path):
    images, truth = ("--images", worlds), ("--objects", worlds / "objects.json")
    assert "nothing to describe" in refused("eval", "detection")
    assert "--objects and --instances" in refused("eval", "detection", *images)
    assert "no signal 'magic'" in refused("eval", "detection", *images, *truth, "--signals", "magic")
    assert "100 or more" in refused("eval", "detection", *images, *truth, "--bootstrap", 5)
    assert "cannot be written" in refused("eval", "detection", *images, *truth, "--out", tmp_path / "no" / "x.json")
    truth_file = worlds / "objects.json"
    assert "would be written over" in refused("eval", "detection", *images, *truth, "--out", truth_file)
    assert "There is no folder" in refused("eval", "detection", "--images", tmp_path / "none", *truth)

"""`copo eval verdict`, and `copo score --verdict`."""

import json

import pandas as pd
import pytest

from causal_attrib import Attribution
from tests.conftest import FALSE, PARK
from tests.tiny_models import tiny


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """A model that is not the bundled one, as a folder."""
    folder = tmp_path_factory.mktemp("other")
    vlm = tiny("llava_clip_llama")
    vlm.model.save_pretrained(folder)
    vlm.processor.save_pretrained(folder)
    return folder


def test_a_table_and_its_json(copo, tmp_path):
    path = tmp_path / "scores.json"
    result = copo("eval", "verdict", "--scenes", 4, "--bootstrap", 100, "--out", path)
    assert result.exit_code == 0, result.output
    assert "AUROC" in result.stdout and "ECE (15 bins)" in result.stdout and "language prior" in result.stdout
    record = json.loads(path.read_text())
    assert record["benchmark"] == "verdict" and record["unit"] == "percent"
    assert [warning[:41] for warning in record["warnings"]] == ["too few images for a conclusion (4); take"]
    # Four images without a mistake: 1 - .025^(1/4) of others may have one.
    assert record["scores"]["coverage"] == {"value": 100, "low": pytest.approx(39.764, abs=1e-3), "high": 100}
    assert record["scores"]["auroc"]["value"] >= 97
    assert record["settings"]["calibration"]["calibrated"] is True
    assert sum(of["words"] for of in record["scores"]["verdicts"]) == sum(
        of["words"] for of in record["scores"]["kinds"]
    )


def test_a_fit_is_written_and_used(copo, tmp_path):
    path = tmp_path / "mine.json"
    flags = ("--scenes", 5, "--seed", 5, "--bootstrap", 100)
    result = copo("eval", "verdict", *flags, "--fit", path)
    assert result.exit_code == 0, result.output
    assert f"Wrote {path}; use it with copo score --verdict --calibration {path}" in result.stderr
    scored = copo("score", PARK, FALSE, "--json", "--verdict", "--calibration", path)
    assert json.loads(scored.stdout)["verdict"]["calibration"]["fitted"]["captions"] == 5
    tested = copo("eval", "verdict", *flags, "--calibration", path)
    assert tested.exit_code == 2 and "test it on another --seed" in tested.stderr


def test_captions_of_the_users_own_and_another_model(copo, other, tmp_path):
    (tmp_path / "park.png").write_bytes(PARK.read_bytes())
    path = tmp_path / "captions.jsonl"
    row = {"image": "park.png", "caption": FALSE, "true": ["dog", "red frisbee", "grass"], "false": ["sunset"]}
    path.write_text(json.dumps(row) + "\n")
    result = copo("eval", "verdict", "--captions", path, "--model", other, "--json", "--bootstrap", 100)
    assert result.exit_code == 0, result.output
    record = json.loads(result.stdout)
    assert f"not calibrated for {other}" in result.stderr
    [kind] = record["scores"]["kinds"]
    assert (kind["kind"], kind["words"], kind["false"]) == ("labelled", 5, 1)
    refused = copo("eval", "verdict", "--captions", path, "--model", other, "--fit", tmp_path / "fit.json")
    assert refused.exit_code == 2 and "label more captions" in refused.stderr


def test_what_is_refused(refused, tmp_path):
    assert "ask for 2 or more" in refused("eval", "verdict", "--scenes", 1)
    assert "no calibration" in refused("eval", "verdict", "--calibration", PARK.parent / "report.ipynb")
    assert "test it on another --seed" in refused("eval", "verdict", "--scenes", 500, "--seed", 1)
    assert "end " in refused("eval", "verdict", "--fit", tmp_path / "mine.csv")
    assert "cannot be written" in refused("eval", "verdict", "--fit", tmp_path / "no" / "mine.json")
    assert "leave one of them out" in refused("eval", "verdict", "--fit", "a.json", "--calibration", "b.json")
    assert "100 or more" in refused("eval", "verdict", "--bootstrap", 5)
    assert "cannot be written" in refused("eval", "verdict", "--out", tmp_path / "no" / "scores.json")
    assert "no file" in refused("eval", "verdict", "--captions", tmp_path / "none.jsonl")
    assert "There is no level 'letter'" in refused("eval", "verdict", "--level", "letter")


def test_score_with_verdicts(copo, tmp_path):
    result = copo("score", PARK, FALSE, "--verdict")
    assert result.exit_code == 0, result.output
    assert "against the image" in result.stdout and "(cross-validated)" in result.stdout.replace("\n", " ")
    assert result.stderr == ""
    path = tmp_path / "scores.csv"
    copo("score", PARK, FALSE, "--verdict", "--level", "word", "--out", path)
    frame = pd.read_csv(path, comment="#")
    assert frame.verdict.tolist()[-2:] == ["no claim", "against the image"]
    assert Attribution.load(path)["sunset"][0].p_false > 0.9


def test_another_model_is_warned_of(copo, other):
    result = copo("score", PARK, "a dog", "--verdict", "--model", other, "--json")
    assert json.loads(result.stdout)["verdict"]["calibrated"] is False
    assert result.stderr.startswith(f"Warning: the verdicts are not calibrated for {other}")


def test_a_bad_calibration_is_found_before_the_model_is_loaded(refused, tmp_path):
    told = refused("score", PARK, "a dog", "--verdict", "--calibration", PARK, "--model", tmp_path / "none")
    assert "is no calibration of verdicts" in told
    assert "add --verdict" in refused("score", PARK, "a dog", "--calibration", "x.json")

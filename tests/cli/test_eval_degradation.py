"""`copo eval degradation`."""

import json
import re

import pandas as pd

from tests.conftest import PARK


def test_two_scenes(copo, tmp_path):
    folder = tmp_path / "curves"
    flags = ("--scenes", 2, "--max-new-tokens", 4, "--bootstrap", 100)
    result = copo("eval", "degradation", *flags, "--out", folder)
    assert result.exit_code == 0, result.output
    assert "answer, dark" in result.stdout and "trap:" in result.stdout
    assert result.stderr.startswith("Warning: too few images for a conclusion (2); take 10 or more")
    assert result.stderr.endswith(f"Wrote degradation.csv and degradation.png to {folder}\n")
    # Neither is said of two images, and two that agree leave much open.
    assert "[-100.0, -100.0]" not in result.stdout and "[0.0, 0.0]" not in result.stdout
    assert not re.search(r"(trap|no warning) *$", result.stdout, re.MULTILINE)
    frame = pd.read_csv(folder / "degradation.csv")
    assert len(frame) == 4 * 4 * 6 and set(frame.texts) == {2}
    assert (folder / "degradation.png").read_bytes().startswith(b"\x89PNG")


def test_questions_of_the_users_own(copo, tmp_path):
    (tmp_path / "park.png").write_bytes(PARK.read_bytes())
    path = tmp_path / "asked.jsonl"
    row = {"image": "park.png", "question": "Is there a dog in the image?", "answer": "yes"}
    path.write_text(json.dumps(row) + "\n")
    flags = ("--out", tmp_path / "curves", "--json", "--quiet", "--max-new-tokens", 36)
    result = copo("eval", "degradation", path, *flags)
    assert result.exit_code == 0, result.output
    record = json.loads(result.stdout)
    assert record["unit"] == "percent; entropy in nats" and record["settings"]["images"] == 1
    assert [change["mode"] for change in record["changes"][::4]] == ["answer", "reasoning", "reasoned answer"]
    # The bundled model answers rightly about the picture as it is, and with reasons too.
    assert [row["accuracy"] for row in record["curves"] if row["severity"] == 0] == [100.0] * 12
    assert result.stderr == ""


def test_what_is_refused(refused, tmp_path):
    assert "leave one of them out" in refused("eval", "degradation", tmp_path, "--scenes", 3)
    assert "is a folder, but none that `copo scenes`" in refused("eval", "degradation", tmp_path)
    assert "no file" in refused("eval", "degradation", tmp_path / "none.jsonl")
    assert "ask for 2 or more" in refused("eval", "degradation", "--scenes", 1)
    assert "from 1 to 131,072" in refused("eval", "degradation", "--max-new-tokens", 0)
    assert "100 or more" in refused("eval", "degradation", "--bootstrap", 5)
    assert "batch size is 'all'" in refused("eval", "degradation", "--batch-size", "all")
    assert "is a file" in refused("eval", "degradation", "--scenes", 2, "--out", PARK)

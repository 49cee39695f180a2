"""`copo score --fail-above` and `--summary`: a gate for captions, and a row for each of them."""

import csv
import json

import pytest

from tests.conftest import PARK

TRUE, FALSE = "a dog on the grass", "a cat on the grass"


def test_a_true_caption_passes_and_a_false_one_does_not(copo):
    assert copo("score", PARK, TRUE, "--verdict", "--fail-above", "0.5").exit_code == 0
    failed = copo("score", PARK, FALSE, "--verdict", "--fail-above", "0.5")
    assert failed.exit_code == 3
    assert '1 of 1 captions are false with a probability above 0.5, first "a cat on the grass"' in failed.stderr
    # Whoever gates several captions wants none of them false.
    assert copo("score", PARK, TRUE, "--also", FALSE, "--verdict", "--fail-above", "0.5").exit_code == 3
    assert copo("score", PARK, FALSE, "--verdict", "--fail-above", "1").exit_code == 0


def test_the_summary_has_a_row_per_caption(copo, tmp_path):
    path = tmp_path / "summary.jsonl"
    assert copo("score", PARK, TRUE, "--also", FALSE, "--verdict", "--summary", path).exit_code == 0
    true, false = map(json.loads, path.read_text().splitlines())
    assert (true["caption"], true["against"], true["words_against"]) == (TRUE, 0, [])
    assert (false["caption"], false["claims"], false["against"]) == (FALSE, 2, 1)
    [word] = false["words_against"]
    assert FALSE[word["char_start"] : word["char_end"]] == word["word"] == "cat"
    assert true["p_false"] < 0.2 < 0.8 < false["p_false"]
    assert true["outcome"] == "grounding" and 0 < true["value"] < 1 and true["calibrated"] is True


def test_a_csv_without_verdicts(copo, tmp_path):
    path = tmp_path / "summary.csv"
    assert copo("score", PARK, TRUE, "--summary", path).exit_code == 0
    [row] = csv.DictReader(path.open(newline=""))
    assert row["caption"] == TRUE and "p_false" not in row


def test_many_captions(copo, tmp_path):
    rows = [{"id": name, "image": str(PARK), "caption": text} for name, text in (("t", TRUE), ("f", FALSE))]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    many = ("score", "--input", tmp_path / "rows.jsonl", "--output", tmp_path / "scores.parquet", "--verdict")
    done = copo(*many, "--summary", tmp_path / "summary.jsonl", "--fail-above", "0.5")
    assert done.exit_code == 3
    told = [json.loads(line) for line in (tmp_path / "summary.jsonl").read_text().splitlines()]
    assert [(row["caption_id"], row["against"]) for row in told] == [("t", 0), ("f", 1)]


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (("--fail-above", "0.5"), "add --verdict"),
        (("--verdict", "--fail-above", "1.5"), "a probability lies between 0 and 1"),
        (("--verdict", "--fail-above", "nan"), "a probability lies between 0 and 1"),
        (("--summary", "summary.txt"), "end it in .jsonl or .csv"),
        (("--summary", "no-such-folder/summary.csv"), "cannot be written"),
        (("--out", "same.jsonl", "--summary", "same.jsonl"), "same.jsonl"),
    ],
)
def test_what_is_refused(refused, flags, told, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "same.jsonl").write_text("")
    assert told in refused("score", PARK, TRUE, *flags)

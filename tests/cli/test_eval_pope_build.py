import json

import pytest

from tests.evaluation.benchmark_files import benchmark_file


@pytest.fixture
def objects(tmp_path):
    path = tmp_path / "objects.jsonl"
    names = ["dog", "cat", "owl", "umbrella", "tie"]
    rows = [{"image": f"{n}.jpg", "objects": names[n % 4 : n % 4 + 2]} for n in range(12)]
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def build(objects, out, *more):
    return "pope", "build", "--objects", objects, "--out", out, "--images", "6", "--per-image", "1", *more


def test_three_files_that_can_be_asked(copo, objects, tmp_path):
    result = copo(*build(objects, tmp_path / "a"))
    assert result.exit_code == 0, result.output
    assert copo(*build(objects, tmp_path / "b", "--quiet")).stderr == ""
    for name in ("random", "popular", "adversarial"):
        written = tmp_path / "a" / f"pope_{name}.jsonl"
        assert written.read_bytes() == (tmp_path / "b" / f"pope_{name}.jsonl").read_bytes()
        rows = [json.loads(line) for line in written.read_text().splitlines()]
        assert len(rows) == 12 and set(rows[0]) == {"question_id", "image", "text", "label"}
        answers = tmp_path / f"{name}.jsonl"
        answers.write_text("\n".join(json.dumps({"question_id": n, "answer": "No"}) for n in range(1, 13)))
        scored = copo("eval", "pope", "--questions", written, "--answers", answers, "--json")
        assert json.loads(scored.stdout)["sets"][0]["accuracy"]["value"] == 50


def test_real_objects(copo, tmp_path):
    objects = benchmark_file("chair/coco2014_objects.json.gz")
    result = copo("pope", "build", "--objects", objects, "--out", tmp_path, "--strategy", "adversarial")
    assert result.exit_code == 0, result.output
    assert len((tmp_path / "pope_adversarial.jsonl").read_text().splitlines()) == 3000
    assert not (tmp_path / "pope_random.jsonl").exists()


@pytest.mark.parametrize(
    "flags, said",
    [
        (["--strategy", "best"], "random, popular, adversarial"),
        (["--images", "13"], "Only 12 of 12 images"),
        (["--per-image", "0"], "give 1 or more"),
        (["--seed", "-1"], "seed"),
    ],
    ids=" ".join,
)
def test_values_that_cannot_be(refused, objects, tmp_path, flags, said):
    assert said in refused(*build(objects, tmp_path / "out", *flags))
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_made(refused, objects):
    assert "cannot be made" in refused(*build(objects, objects / "out"))

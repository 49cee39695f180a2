"""Benchmarks that let the bundled model speak: what it says is kept in a file, and scored as if it came from one."""

import json
import re

import pytest
from PIL import Image

from causal_attrib.vlm.text import decode

NAMES = ("COCO_val2014_000000000001.jpg", "COCO_val2014_000000000002.jpg", "park.png")


def write(path, rows):
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def read(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def images(tmp_path, park):
    folder = tmp_path / "images"
    folder.mkdir()
    for number, name in enumerate(NAMES):
        Image.open(park).convert("RGB").rotate(90 * number).resize((96, 96)).save(folder / name)
    (folder / "notes.txt").write_text("no picture")
    return folder


@pytest.fixture
def run(images, tmp_path):
    return ("--model", "bundled", "--images", images, "--save", tmp_path / "said.jsonl")


def record(copo, *arguments):
    result = copo("eval", *arguments, "--bootstrap", "100", "--json", "--quiet")
    assert result.exit_code == 0, result.output
    return {**json.loads(result.stdout), "settings": None}


def test_chair(copo, run, images, tmp_path, bundled):
    truth = write(tmp_path / "objects.json", [{"1": ["dog"], "2": ["dog", "frisbee"], "park.png": ["cat"]}])
    scores = record(copo, "chair", *run, "--objects", truth)
    said = read(tmp_path / "said.jsonl")
    assert said == [
        {"image_id": image, "caption": decode(bundled.tokenizer, bundled.describe(images / name)).strip()}
        for image, name in zip(("1", "2", "park.png"), NAMES, strict=True)
    ]
    assert scores == record(copo, "chair", "--captions", tmp_path / "said.jsonl", "--objects", truth)
    assert scores["systems"][0]["captions"] == 3
    assert not list(tmp_path.glob("*.partial*"))


def test_chair_with_a_prompt_and_a_limit(copo, run, tmp_path, bundled, images):
    truth = write(tmp_path / "objects.json", [{"1": ["dog"], "2": ["dog"]}])
    flags = ("--prompt", "Is there a dog in the image?", "--max-new-tokens", "1", "--unknown-images", "skip")
    result = copo("eval", "chair", *run, "--objects", truth, *flags)
    assert result.exit_code == 0, result.output
    (ids,) = bundled.write_together([bundled.ask(images / NAMES[0], flags[1])], 1)
    assert read(tmp_path / "said.jsonl")[0]["caption"] == decode(bundled.tokenizer, ids).strip()
    assert result.stderr.startswith(f"Wrote 2 texts to {tmp_path / 'said.jsonl'}\n")


def test_pope(copo, run, tmp_path):
    splits = [
        write(
            tmp_path / f"{name}.json",
            [
                {"question_id": 1 + number, "image": image, "text": f"Is there a {thing} in the image?", "label": label}
                for number, (image, label) in enumerate(zip(NAMES, ("yes", "no", "yes"), strict=True))
            ],
        )
        for name, thing in (("random", "dog"), ("popular", "frisbee"))
    ]
    asked = [item for path in splits for item in ("--questions", path)]
    scores = record(copo, "pope", *asked, *run)
    saved = [tmp_path / "said.random.jsonl", tmp_path / "said.popular.jsonl"]
    assert [row["question_id"] for row in read(saved[1])] == ["1", "2", "3"]
    assert {row["answer"] for path in saved for row in read(path)} <= {"yes", "no"}
    answered = [item for path in saved for item in ("--answers", path)]
    assert scores == record(copo, "pope", *asked, *answered)
    assert not list(tmp_path.glob("*.partial*"))


def test_amber(copo, run, tmp_path):
    annotations = write(
        tmp_path / "annotations.json",
        [
            {"id": 1, "type": "generative", "truth": ["dog", "frisbee"], "hallu": ["cat"]},
            {"id": 2, "type": "discriminative-hallucination", "truth": "no"},
        ],
    )
    queries = write(
        tmp_path / "query.json",
        [
            {"id": 1, "image": "park.png", "query": "Describe this image."},
            {"id": 2, "image": "park.png", "query": "Is there a cat in this image?"},
        ],
    )
    relations = tmp_path / "relation.json"
    relations.write_text(json.dumps({"dog": [], "frisbee": [], "cat": []}))
    (tmp_path / "safe.txt").write_text("image\n")
    flags = ("--annotations", annotations, "--queries", queries, "--relations", relations, "--parser", "words")
    flags += ("--safe-words", tmp_path / "safe.txt")
    scores = record(copo, "amber", *run, *flags)
    assert [row["id"] for row in read(tmp_path / "said.jsonl")] == ["1", "2"]
    assert scores == record(copo, "amber", *flags, "--responses", tmp_path / "said.jsonl")
    assert scores["captions"]["captions"] == scores["questions"][0]["questions"] == 1


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("--captions", "c.jsonl"), "--captions has what a model said"),
        (("--images", "none"), "no folder none"),
        (("--save", "said.json"), "end in .jsonl"),
        (("--save", "none/said.jsonl"), "cannot be written"),
        (("--max-new-tokens", "0"), "new tokens"),
        (("--batch-size", "0"), "batch size"),
        (("--group-by", "system"), "for --captions"),
        ((), "1 images of .* have no ground truth"),
    ],
)
def test_what_is_wrong_is_told_before_the_model_is_loaded(refused, run, tmp_path, monkeypatch, change, told):
    monkeypatch.setattr("causal_attrib.load", None)
    known = {"1": ["dog"], "2": ["dog"], **({"park.png": ["dog"]} if change else {})}
    truth = write(tmp_path / "objects.json", [known])
    message = refused("eval", "chair", *run, "--objects", truth, *change)
    assert re.search(told, message), message


def test_flags_of_a_run_need_a_run(refused, tmp_path):
    truth = write(tmp_path / "objects.json", [{"1": ["dog"]}])
    for flags, told in (
        (("--images", "x"), "add --model"),
        (("--save", "x"), "add --model"),
        (("--fresh",), "add --model"),
        (("--captions", "x", "--prompt", "x"), "add --model"),
        (("--model", "bundled"), "needs --images"),
        (("--model", "bundled", "--images", "x"), "needs --save"),
    ):
        assert told in refused("eval", "chair", "--objects", truth, *flags)


def test_a_picture_that_cannot_be_read_ends_it_and_is_tried_again(copo, run, images, tmp_path):
    truth = write(tmp_path / "objects.json", [{"1": ["dog"], "2": ["dog"], "park.png": ["dog"]}])
    good = (images / "park.png").read_bytes()
    (images / "park.png").write_bytes(b"damaged")
    result = copo("eval", "chair", *run, "--objects", truth)
    assert (result.exit_code, result.stdout) == (1, "")
    assert f"1 rows failed; they are listed in {tmp_path / 'said.jsonl.failed.jsonl'}." in result.stderr
    (images / "park.png").write_bytes(good)
    result = copo("eval", "chair", *run, "--objects", truth)
    assert result.exit_code == 0 and "Wrote 3 texts" in result.stderr
    assert not list(tmp_path.glob("said.jsonl.*"))

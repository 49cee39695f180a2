"""The examples of docs/evaluation.md run, and say what they should."""

import json
import re
from pathlib import Path

import pytest

from causal_attrib.scenes import write_dataset

PAGE = (Path(__file__).parents[2] / "docs" / "evaluation.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
QUESTION = {"question_id": 1, "image": "1.jpg", "text": "Is there a dog?", "label": "yes"}
FILES = {
    "captions.jsonl": [{"image": "1", "caption": "a dog and a cat"}, {"image": "2", "caption": "a bus"}],
    "objects.json": [{"image": "1", "objects": ["dog"]}, {"image": "2", "objects": ["bus"]}],
    "questions.jsonl": [QUESTION, {**QUESTION, "question_id": 2, "image": "2.jpg", "label": "no"}],
    "corrected.jsonl": [{**QUESTION, "label": "no"}],
    "answers.jsonl": [{"question_id": 1, "answer": "Yes."}, {"question_id": 2, "answer": "Yes."}],
    "annotations.json": [
        {"id": 1, "type": "discriminative-relation", "truth": "yes"},
        {"id": 2, "type": "discriminative-attribute-state", "truth": "no"},
    ],
    "responses.json": [{"id": 1, "response": "Yes"}, {"id": 2, "response": "Yes"}],
    "query_all.json": [{"id": number, "image": "AMBER_1.jpg", "query": "?"} for number in (1, 2)],
}


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run the example of a benchmark on small files; its result."""
    for name, rows in FILES.items():
        (tmp_path / name).write_text(json.dumps(rows))
    monkeypatch.chdir(tmp_path)

    def run_example(benchmark):
        [example] = [code for code in EXAMPLES if f"{benchmark}.evaluate(" in code]
        names = {}
        exec(example, names)
        return names["found"]

    return run_example


def test_chair(run):
    found = run("chair")
    [row] = found.to_frame().to_dict("records")
    # One of three mentions and of two captions is wrong.
    assert (row["chair_i"], row["chair_s"]) == (pytest.approx(100 / 3), 50)
    assert (row["chair_s_low"], row["chair_s_high"]) == (0, 100)
    assert [mention.word for caption in found.judged for mention in caption.hallucinated] == ["cat"]
    assert json.loads(json.dumps(found.to_dict()))["benchmark"] == "chair"


def test_pope(run):
    frame = run("pope").to_frame().set_index("labels")
    assert frame.accuracy.to_dict() == {"given": 50, "corrected": 0}
    assert frame.questions.to_dict() == {"given": 2, "corrected": 1}


def test_amber(run):
    frame = run("amber").to_frame()
    assert list(frame.part) == ["questions"] * 4 + ["always no"]
    assert frame.set_index("dimension").accuracy.to_dict()["relation"] == 100
    assert list(frame.accuracy)[0] == list(frame.accuracy)[-1] == 50


def test_verdict(run):
    found = run("verdict")
    frame = found.to_frame().set_index("words_of")
    assert frame.loc["all", "no_claim"] > 10  # articles and prepositions
    # Each of the four captions has one false word.
    assert found.words["false"].sum() == 4 == frame.false[frame.index.str.startswith("kind ")].sum()


def test_background(run, tmp_path):
    write_dataset(tmp_path / "worlds", 2, seed=5)
    frame = run("background").to_frame()
    assert {"image", "text", "image less text"} <= set(frame.arm) and frame.share.between(-100, 100).all()


def test_degradation(run, tmp_path):
    frame = run("degradation").to_frame()
    assert len(frame) == 4 * 4 * 6 and set(frame.severity) == set(range(6))
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_faithfulness(run):
    frame = run("faithfulness").to_frame()
    assert set(frame.method) == {"gradient", "occlusion", "edges", "mask"}

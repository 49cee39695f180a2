import json

import pytest

from causal_attrib.errors import InputError
from causal_attrib.evaluation.pope.questions import Question, pair, read_own_replies, read_questions, read_replies
from causal_attrib.evaluation.yesno import Reply
from tests.evaluation.benchmark_files import benchmark_file

COCO = [f"pope/coco_pope_{name}.json" for name in ("random", "popular", "adversarial")]
SEEM = ["pope/aokvqa_pope_seem_random.json", "pope/gqa_pope_seem_random.json"]


def write(path, rows):
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


@pytest.mark.parametrize("name", [*COCO, *SEEM])
def test_real_pope_files(name):
    # evaluation.md 1.2: 3,000 questions, half of them yes, 6 per image, in JSON Lines and in a JSON array
    questions = read_questions(benchmark_file(name))
    images = [question.image for question in questions]
    assert len(questions) == 3000 and sum(question.label for question in questions) == 1500
    assert len(set(images)) == 500 and all(images.count(image) == 6 for image in set(images))


def test_a_hallusionbench_file():
    # evaluation.md 1.4: 1,129 questions and 346 figures, of which VS figure 0 is none; ids come from five keys
    questions = read_questions(benchmark_file("hallusionbench/HallusionBench.json"))
    assert len(questions) == len({question.key for question in questions}) == 1129
    kinds = [dict(question.groups) for question in questions]
    assert sum("figure" not in groups for groups in kinds) == 178  # the questions without an image


def test_labels_of_every_spelling(tmp_path):
    rows = [
        {"id": 1, "image": "a.jpg", "question": "?", "gt_answer": "1"},
        {"id": 2, "image": "a.jpg", "query": "?", "label": "No"},
        {"id": 3, "image": "a.jpg", "text": "?", "answer": "YES "},
        {"image_id": 4, "query": "?", "label": False},
    ]
    questions = read_questions(write(tmp_path / "q.jsonl", rows))
    assert [question.label for question in questions] == [True, False, True, False]
    assert [question.key for question in questions] == ["1", "2", "3", "line 4"]


@pytest.mark.parametrize(
    "row, said",
    [
        ({"id": 2, "image": "a.jpg", "text": "?"}, "line 2 has no key 'label'"),
        (
            {"id": 2, "image": "a.jpg", "text": "?", "label": "maybe"},
            "line 2 has 'maybe' under 'label'; give yes or no",
        ),
        ({"id": 2, "image": "a.jpg", "label": "yes"}, "line 2 has no key 'text'"),
        ({"id": 2, "text": "?", "label": "yes"}, "line 2 has no key 'image'"),
        ({"id": 1, "image": "a.jpg", "text": "?", "label": "yes"}, "line 2 has the id '1' of .* line 1"),
    ],
)
def test_bad_questions(tmp_path, row, said):
    good = {"id": 1, "image": "a.jpg", "text": "?", "label": "yes"}
    with pytest.raises(InputError, match=said):
        read_questions(write(tmp_path / "q.jsonl", [good, row]))


@pytest.mark.parametrize("key", ["answer", "text", "response", "model_prediction"])
def test_replies_under_every_key(tmp_path, key):
    [reply] = read_replies(write(tmp_path / "a.jsonl", [{"question_id": 7, key: "Yes", "prompt": "?"}]))
    assert (reply.text, reply.key, reply.image) == ("Yes", "7", None)


def test_two_keys_that_may_be_the_reply_are_not_guessed(tmp_path):
    path = write(tmp_path / "a.jsonl", [{"question_id": 7, "text": "Is it?", "answer": "no"}])
    with pytest.raises(InputError, match="'answer' and 'text', either of which may be the reply"):
        read_replies(path)
    assert read_replies(path, answer_key="answer")[0].text == "no"


def test_log_probabilities_of_replies(tmp_path):
    path = write(tmp_path / "a.jsonl", [{"question_id": 7, "logprob_yes": -0.5, "logprob_no": -2}])
    assert read_replies(path)[0].logprobs == (-0.5, -2.0)
    for value in (float("nan"), 0.5, "x", None):
        bad = write(tmp_path / "b.jsonl", [{"question_id": 7, "logprob_yes": -0.5, "logprob_no": value}])
        with pytest.raises(
            InputError, match="line 1 (has .* under 'logprob_no'; give a log-prob|cannot be read .NaN is no number)"
        ):
            read_replies(bad)


def test_mme_result_files(tmp_path):
    path = tmp_path / "existence.txt"
    path.write_text("0001.jpg\tIs there a dog?\tYes\tyes\n0001.jpg\tIs there a cat?\tNo\tYes, there is\n")
    questions, replies = read_questions(path), read_own_replies(path)
    assert [(question.image, question.label) for question in questions] == [("0001.jpg", True), ("0001.jpg", False)]
    assert [reply.text for _, reply in pair(questions, replies)] == ["yes", "Yes, there is"]
    path.write_text("0001.jpg\tIs there a dog?\tYes\tyes\n0001.jpg\tIs there a cat?\tNo\n")
    with pytest.raises(InputError, match="line 2 has 3 cells between tabs"):
        read_questions(path)


QUESTIONS = [Question("1", "a", "?", True, where="q line 1"), Question("2", "b", "?", False, where="q line 2")]


def test_pairing_by_id_and_by_order():
    swapped = [Reply("no", key="2"), Reply("yes", key="1")]
    assert [reply.text for _, reply in pair(QUESTIONS, swapped)] == ["yes", "no"]
    assert [reply.text for _, reply in pair(QUESTIONS, swapped, "order")] == ["no", "yes"]
    [(question, reply)] = pair(QUESTIONS, swapped[:1], skip_unanswered=True)
    assert (question.key, reply.text) == ("2", "no")


@pytest.mark.parametrize(
    "replies, by, said",
    [
        ([Reply("yes", key="1")], "id", r"1 questions have no reply, first '2' \(q line 2\)"),
        ([Reply("yes", key="1")], "order", "2 questions and 1 replies"),  # the script's zip would cut them short
        ([Reply("yes", key="1"), Reply("no", key="1", where="a line 2")], "id", "a line 2 answers question '1' again"),
        ([Reply("yes", key="9", where="a line 1")], "id", "question '9', which is not asked"),
        ([Reply("yes", where="a line 1")], "id", "a line 1 has no key 'question_id'"),
        ([Reply("yes", image="b"), Reply("no", image="b")], "order", "is about image 'b'"),
        ([], "name", "choose id or order"),
    ],
)
def test_replies_that_do_not_fit(replies, by, said):
    with pytest.raises(InputError, match=said):
        pair(QUESTIONS, replies, by)

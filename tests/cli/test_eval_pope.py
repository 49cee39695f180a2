import json

import pytest

from tests.evaluation.benchmark_files import benchmark_file

SPLITS = ("random", "popular", "adversarial")


def write(path, rows):
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def record(copo, *arguments):
    result = copo("eval", "pope", *arguments, "--bootstrap", "100", "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture
def files(tmp_path):
    questions = [
        {"question_id": number, "image": f"{number // 2}.jpg", "text": f"question {number}", "label": label}
        for number, label in enumerate(["yes", "no", "yes", "no", "yes", "no"])
    ]
    write(tmp_path / "q.jsonl", questions)
    answers = ["Yes.", "No", "It is", "yes", "No, not there", "no"]
    write(tmp_path / "a.jsonl", [{"question_id": number, "answer": text} for number, text in enumerate(answers)])
    return tmp_path


def both(files):
    return "--questions", files / "q.jsonl", "--answers", files / "a.jsonl"


def test_the_real_run_of_llava(copo, tmp_path):
    # evaluation.md 1.2: TP 1183, FP 31, TN 1379, FN 317 on 2,910 questions
    outcomes = [("yes", "Yes")] * 1183 + [("no", "Yes")] * 31 + [("no", "No")] * 1379 + [("yes", "No")] * 317
    rows = [
        {"question_id": number, "image": f"{number // 6}.jpg", "text": f"q{number}", "label": label, "prediction": said}
        for number, (label, said) in enumerate(outcomes)
    ]
    [one] = record(copo, "--questions", write(tmp_path / "q.jsonl", rows))["sets"]
    assert [one[cell] for cell in ("tp", "fp", "tn", "fn")] == [1183, 31, 1379, 317]
    values = [one[metric]["value"] / 100 for metric in ("accuracy", "precision", "recall", "f1")]
    golden = [0.8804123711340206, 0.9744645799011532, 0.7886666666666666, 0.8717759764185703]
    assert values == pytest.approx(golden, rel=1e-15)
    assert round(one["yes_ratio"]["value"] / 100, 5) == 0.41718


def test_three_real_splits_and_a_baseline(copo, tmp_path):
    flags = []
    for name in SPLITS:
        path = benchmark_file(f"pope/coco_pope_{name}.json")
        asked = [json.loads(line) for line in path.read_text().splitlines()]
        right = [{"question_id": row["question_id"], "text": row["label"].capitalize()} for row in asked]
        wrong = [{**row, "text": "Yes"} for row in right]
        flags += ["--questions", path, "--answers", write(tmp_path / f"{name}.jsonl", right)]
        flags += ["--compare", write(tmp_path / f"{name}_yes.jsonl", wrong)]
    found = record(copo, *flags)
    assert [one["name"] for one in found["sets"]] == [f"coco_pope_{name}.json" for name in SPLITS]
    assert found["mean_f1"]["value"] == 100 and found["pooled"]["questions"] == 9000
    # 500 images without a mistake: 1 - .025^(1/500) = .00735 may have one.
    accuracy = {"value": 100, "low": pytest.approx(100 * 0.025 ** (1 / 500)), "high": 100}
    assert found["distinct"] == {"questions": 5127, "accuracy": accuracy}
    difference = found["difference"]
    assert (difference["accuracy"]["value"], difference["only_first"], difference["only_second"]) == (50, 4500, 0)
    assert difference["p_value"] < 1e-300


@pytest.mark.parametrize(
    ("split", "labels", "changed"), [("random", 2774, 144), ("popular", 2727, 178), ("adversarial", 2684, 172)]
)
def test_the_corrected_labels_of_repope(copo, tmp_path, split, labels, changed):
    """Answers that POPE calls right are wrong where RePOPE's label differs; counted in its published files."""
    path, corrected = benchmark_file(f"pope/coco_pope_{split}.json"), benchmark_file(f"repope/coco_repope_{split}.json")
    asked = [json.loads(line) for line in path.read_text().splitlines()]
    said = [{"question_id": row["question_id"], "answer": row["label"].capitalize()} for row in asked]
    flags = ("--questions", path, "--answers", write(tmp_path / "a.jsonl", said), "--corrected", corrected)
    found = record(copo, *flags)
    assert found["sets"][0]["accuracy"]["value"] == 100
    assert (found["corrected"]["dropped"], found["corrected"]["changed"]) == ([3000 - labels], [changed])
    [by_corrected] = found["corrected"]["sets"]
    assert by_corrected["questions"] == labels and by_corrected["name"] == f"coco_repope_{split}.json"
    assert by_corrected["accuracy"]["value"] == pytest.approx(100 * (labels - changed) / labels)


def test_both_label_sets_in_one_table(copo, files):
    rows = [json.loads(line) for line in (files / "q.jsonl").read_text().splitlines()]
    rows[1]["label"] = "yes"  # was answered with No
    write(files / "fixed.jsonl", rows[:5])
    result = copo("eval", "pope", *both(files), "--corrected", files / "fixed.jsonl", "--bootstrap", "100")
    assert result.exit_code == 0, result.output
    assert "q.jsonl" in result.stdout and "fixed.jsonl" in result.stdout
    # Six questions, four right; without the last and with one label turned, two of five.
    assert "66.7 [" in result.stdout and "40.0 [" in result.stdout
    told = "1 of 6 questions of q.jsonl are not in fixed.jsonl and are left out of its numbers; 1 of the others have"
    assert told in result.stderr


def test_corrected_labels_of_other_questions(refused, files):
    rows = [json.loads(line) for line in (files / "q.jsonl").read_text().splitlines()]
    flags = ("eval", "pope", *both(files), "--corrected", files / "fixed.jsonl")
    write(files / "fixed.jsonl", [{**rows[0], "image": "other.jpg"}])
    assert "another question than" in refused(*flags)
    write(files / "fixed.jsonl", [{**rows[0], "question_id": 77}])
    assert "corrects question '77', which is not asked" in refused(*flags)
    assert "as many --corrected" in refused(*flags, "--corrected", files / "fixed.jsonl")


def test_a_table(copo, files):
    result = copo("eval", "pope", *both(files), "--bootstrap", "100")
    assert result.exit_code == 0, result.output
    assert "parser=official" in result.stdout and "q.jsonl" in result.stdout and "yes-ratio" in result.stdout
    assert "66.7 [" in result.stdout
    assert 'Warning: 1 of 6 replies to q.jsonl lack the word "yes" and count as yes' in result.stderr


def test_order_and_parsers(copo, files):
    rows = [json.loads(line) for line in (files / "a.jsonl").read_text().splitlines()]
    write(files / "a.jsonl", [{"answer": row["answer"]} for row in rows])
    [one] = record(copo, *both(files), "--pair-by", "order", "--parser", "exact", "--undecided", "no")["sets"]
    assert (one["tp"], one["fp"], one["tn"], one["fn"], one["undecided"]) == (0, 1, 2, 3, 3)
    [one] = record(copo, *both(files), "--pair-by", "order", "--parser", "words")["sets"]
    assert (one["tp"], one["fp"], one["tn"], one["fn"], one["undecided"]) == (1, 1, 2, 1, 1)


def test_log_probabilities(copo, files):
    rows = [{"question_id": number, "logprob_yes": -1.0, "logprob_no": -0.5 - number % 2} for number in range(6)]
    write(files / "a.jsonl", rows)
    [one] = record(copo, *both(files), "--parser", "logprob")["sets"]
    assert (one["tp"], one["fp"], one["tn"], one["fn"]) == (0, 3, 0, 3)


def test_hallusionbench(copo):
    # evaluation.md 1.4: aAcc 51.6 with word-level extraction
    found = record(
        copo,
        *("--questions", benchmark_file("hallusionbench/HallusionBench.json"), "--parser", "words"),
        *("--answers", benchmark_file("hallusionbench/HallusionBench_result_sample.json"), "--unanswered", "skip"),
    )
    [one] = found["sets"]
    assert round(one["accuracy"]["value"], 1) == 51.6 and set(one["groups"]) == {"question", "figure"}
    assert any("875 of 1129 questions" in note for note in found["warnings"])


def test_mme(copo, tmp_path):
    path = tmp_path / "existence.txt"
    path.write_text("a.jpg\tdog?\tYes\tYes\na.jpg\tcat?\tNo\tNo\nb.jpg\tdog?\tYes\tYes\nb.jpg\tcat?\tNo\tYes\n")
    [one] = record(copo, "--questions", path, "--parser", "exact")["sets"]
    assert (one["accuracy"]["value"], one["groups"]["image"]["value"]) == (75, 50)


@pytest.mark.parametrize(
    "flags, said",
    [
        (["--parser", "best"], "official, words, exact, first-token, logprob"),
        (["--undecided", "maybe"], "yes, no, wrong, error"),
        (["--parser", "words", "--undecided", "error"], "a.jsonl line 3 says neither yes nor no"),
        (["--pair-by", "luck"], "id or order"),
        (["--unanswered", "guess"], "error or skip"),
        (["--parser", "logprob"], "a.jsonl line 1 has no 'logprob_yes'"),
        (["--label-key", "truth"], "q.jsonl line 1 has no key 'truth'"),
        (["--answer-key", "said"], "a.jsonl line 1 has no key 'said'"),
        (["--compare", "b", "--baseline", "c"], "as many --compare"),
        (["--questions", "other.jsonl"], "2 --questions need as many --answers"),
        (["--bootstrap", "1"], "1 bootstrap resamples"),
        (["--bootstrap", "99999999999999999999"], "More than 100,000 bootstrap resamples"),
    ],
    ids=" ".join,
)
def test_values_that_cannot_be(refused, files, flags, said):
    assert said in refused("eval", "pope", *both(files), *flags)


@pytest.mark.parametrize("cut, said", [(5, "1 questions have no reply, first '5'"), (0, "is empty")])
def test_a_short_answer_file(refused, files, cut, said):
    lines = (files / "a.jsonl").read_text().splitlines()
    (files / "a.jsonl").write_text("\n".join(lines[:cut]))
    assert said in refused("eval", "pope", *both(files))

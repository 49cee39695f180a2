import json

import pytest

from tests.evaluation.benchmark_files import benchmark_file, load

ITEMS = [
    {"id": 1, "type": "generative", "truth": ["dog", "grass"], "hallu": ["ball"]},
    {"id": 2, "type": "discriminative-attribute-state", "truth": "no"},
    {"id": 3, "type": "discriminative-relation", "truth": "yes"},
]
RESPONSES = [
    {"id": 1, "response": "A dog with a ball and a light."},
    {"id": 2, "response": "No"},
    {"id": 3, "response": "No"},
]


@pytest.fixture
def files(tmp_path):
    (tmp_path / "annotations.json").write_text(json.dumps(ITEMS))
    (tmp_path / "responses.json").write_text(json.dumps(RESPONSES))
    (tmp_path / "relation.json").write_text(json.dumps({"dog": [], "grass": [], "ball": [], "light": []}))
    (tmp_path / "safe_words.txt").write_text("light\n")
    queries = [{"id": item["id"], "image": "AMBER_1.jpg", "query": "?"} for item in ITEMS]
    (tmp_path / "query.json").write_text(json.dumps(queries))
    return tmp_path


def arguments(files, *more):
    names = {"responses": "responses.json", "annotations": "annotations.json", "queries": "query.json"}
    names |= {"relations": "relation.json", "safe-words": "safe_words.txt"}
    return "eval", "amber", *(part for flag, name in names.items() for part in (f"--{flag}", files / name)), *more


def test_always_no_on_the_real_questions(copo, tmp_path):
    # evaluation.md 1.3: 66.3 accuracy, F1 79.7
    items = load("amber/annotations.json.gz")
    responses = [{"id": item["id"], "response": "No"} for item in items if item["type"] != "generative"]
    (tmp_path / "no.json").write_text(json.dumps(responses))
    result = copo(
        *("eval", "amber", "--responses", tmp_path / "no.json", "--bootstrap", "100", "--json"),
        *("--annotations", benchmark_file("amber/annotations.json.gz")),
        *("--queries", benchmark_file("amber/query_all.json.gz")),
    )
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["questions"] == found["always_no"] and found["captions"] is None
    everything = found["questions"][0]
    assert everything["official"] == {"accuracy": 66.3, "precision": 66.3, "recall": 100.0, "f1": 79.7}
    assert everything["accuracy"]["low"] < 66.3 < everything["accuracy"]["high"]
    assert any("1004 of 15220 items have no response" in note for note in found["warnings"])


def test_both_parts(copo, files):
    result = copo(*arguments(files, "--json"))
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["settings"]["captions"] == "lexical"
    captions = {name: found["captions"][name]["value"] for name in ("chair", "cover", "hal", "cog")}
    assert captions == {"chair": pytest.approx(100 / 3), "cover": 50, "hal": 100, "cog": 100}
    assert found["questions"][0]["accuracy"]["value"] == 50
    f1 = found["questions"][0]["f1"]["value"]
    assert f1 == pytest.approx(200 / 3) and found["amber_score"] == pytest.approx((100 - 100 / 3 + 200 / 3) / 2)


def test_tables_state_the_mode_and_the_baseline(copo, files):
    result = copo(*arguments(files))
    assert result.exit_code == 0, result.output
    assert "lexical mode" in result.stdout and "always No" in result.stdout and "AMBER score" in result.stdout
    assert "do not set them beside the paper's" in result.stderr


def test_captions_need_the_vocabulary(refused, files):
    flags = ("--responses", files / "responses.json", "--annotations", files / "annotations.json")
    assert "--relations and --safe-words" in refused("eval", "amber", *flags)


@pytest.mark.parametrize(
    "rows, said",
    [
        ([{"id": 9, "response": "No"}], "line 1 has the id '9', which the annotations lack"),
        ([{"id": 2}], "line 1 has no key 'response'"),
        ([{"response": "No"}], "line 1 has no key 'id'"),
        ([], "is empty"),
    ],
)
def test_bad_responses(refused, files, rows, said):
    (files / "responses.json").write_text(json.dumps(rows))
    assert said in refused(*arguments(files))


def test_an_unknown_parser(refused, files):
    assert "official, words, exact, first-token" in refused(*arguments(files, "--parser", "best"))

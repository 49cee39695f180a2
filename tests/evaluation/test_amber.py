import json

import pytest

from causal_attrib.errors import InputError
from causal_attrib.evaluation.amber import files as amber
from causal_attrib.evaluation.amber.captions import named, score_captions
from causal_attrib.evaluation.amber.files import AmberItem, Response
from causal_attrib.evaluation.amber.questions import score_questions
from tests.evaluation.benchmark_files import benchmark_file


@pytest.fixture(scope="module")
def items():
    return amber.read_items(benchmark_file("amber/annotations.json.gz"))


@pytest.fixture(scope="module")
def relations():
    return amber.read_relations(benchmark_file("amber/relation.json"))


def test_the_real_items(items):
    # evaluation.md 1.3
    assert len(items) == 15_220 and sum(item.is_question for item in items.values()) == 14_216
    of = {name: [item for item in items.values() if name in item.dimensions] for name in ("state", "number", "action")}
    assert {name: len(found) for name, found in of.items()} == {"state": 4764, "number": 2072, "action": 792}
    assert all(2 * sum(item.answer for item in found) == len(found) for found in of.values())
    existence = [item for item in items.values() if "existence" in item.dimensions]
    assert len(existence) == 4924 and not any(item.answer for item in existence)
    relation = [item.answer for item in items.values() if "relation" in item.dimensions]
    assert (len(relation), sum(relation)) == (975 + 689, 975)


def test_always_answering_no(items):
    # evaluation.md 1.3: 66.3 accuracy and F1 79.7 over all questions, 100 precision on existence
    asked = [Response(item, "?", key) for key, item in items.items() if item.is_question]
    everything, existence, *_ = score_questions(amber.always_no(asked), resamples=100)
    assert (everything.dimension, existence.dimension) == ("all", "existence")
    assert everything.official == {"accuracy": 66.3, "precision": 66.3, "recall": 100.0, "f1": 79.7}
    assert (round(everything.accuracy.value, 1), round(everything.f1.value, 1)) == (66.3, 79.7)
    assert existence.precision.value == 100


def question(key, answer, text, *dimensions):
    return Response(AmberItem(key, dimensions=dimensions, answer=answer), text, key)


def test_no_is_the_positive_class():
    responses = [
        question("1", False, "No", "attribute", "state"),
        question("2", False, "Yes", "attribute", "state"),
        question("3", True, "No", "attribute", "action"),
        question("4", True, "Yes", "relation"),
        question("5", True, "yes", "relation"),  # not the exact word: wrong, and no No
    ]
    everything, attribute, *_ = scores = score_questions(responses, resamples=100)
    assert [one.dimension for one in scores] == ["all", "attribute", "state", "action", "relation"]
    assert (everything.questions, everything.undecided, everything.accuracy.value) == (5, 1, 40)
    assert (everything.precision.value, everything.recall.value, everything.f1.value) == (50, 50, 50)
    assert attribute.accuracy.value == pytest.approx(100 / 3)
    assert score_questions(responses, parser="words", resamples=100)[0].accuracy.value == 60
    with pytest.raises(InputError, match="official, words"):
        score_questions(responses, parser="best", resamples=100)


def test_the_scripts_arithmetic():
    # evaluation.md 1.3: counters from 0.001, F1 from rounded numbers, with 0.001 below the line for existence
    existence = [question(str(number), False, "No" if number < 2 else "Yes", "existence") for number in range(3)]
    found = score_questions(existence, resamples=100)[1]
    assert found.official == {
        "accuracy": round(2 / 3.001 * 100, 1),
        "precision": round(2 / 2.001 * 100, 1),
        "recall": round(2 / 3.001 * 100, 1),
        "f1": round(2 * 1.0 * 0.666 / (1.0 + 0.666 + 0.001) * 100, 1),
    }


WORDS = {"dog": ("puppy",), "puppy": (), "grass": ("lawn",), "ball": (), "cat": (), "bus": (), "light": ()}


def found(text, objects=("dog", "grass"), targets=("ball", "cat")):
    return named(Response(AmberItem("1", objects=objects, targets=targets), text, "1"), WORDS, {"light"})


def test_words_of_a_caption():
    one = found("Dogs on the lawn chase a ball under a light. A bus; a chair.")
    assert one.nouns == ("dog", "lawn", "ball", "light", "bus")
    assert one.hallucinated == ("ball", "bus")
    assert (one.objects, one.targets) == ({"dog", "grass"}, {"ball"})


def test_caption_numbers_by_hand():
    # CHAIR 2/5 + 0/1, Cover 2/2 + 1/2, Hal 1 of 2, Cog 1/2 + 0/2
    scores = score_captions(
        [found("Dogs on the lawn chase a ball under a light near a bus"), found("a puppy")], resamples=100
    )
    assert scores.chair.value == pytest.approx(100 * 2 / 6)
    assert (scores.cover.value, scores.hal.value, scores.cog.value) == (75, 50, 25)
    empty = score_captions([found("hello")], resamples=100)
    assert (empty.chair.value, empty.hal.value) == (None, 0)


def test_a_perfect_caption_of_every_real_image(items, relations):
    safe = amber.read_safe_words(benchmark_file("amber/safe_words.txt"))
    assert len(relations) == 340 and len(safe) == 9  # evaluation.md 1.3
    captions = [Response(item, ", ".join(item.objects), key) for key, item in items.items() if not item.is_question]
    read = [named(caption, relations, safe) for caption in captions]
    scores = score_captions(read, resamples=100)
    assert (scores.captions, scores.chair.value, scores.hal.value) == (1004, 0, 0)
    # As in the script, a safe word never counts as an object that was named.
    assert set().union(*(set(one.response.item.objects) - one.objects for one in read)) <= safe
    assert 98 < scores.cover.value < 100


def write(path, rows):
    path.write_text(json.dumps(rows))
    return path


@pytest.mark.parametrize(
    "row, said",
    [
        ({"id": 2, "type": "discriminative-colour", "truth": "yes"}, "the type 'discriminative-colour'"),
        ({"id": 2, "type": "relation", "truth": "maybe"}, "'maybe' under 'truth'"),
        ({"id": 2, "type": "generative", "truth": "dog", "hallu": []}, "no lists of words"),
        ({"id": 2, "type": "generative", "truth": ["dog"]}, "no key 'hallu'"),
        ({"id": 1, "type": "relation", "truth": "no"}, "the id '1' a second time"),
    ],
)
def test_bad_annotations(tmp_path, row, said):
    with pytest.raises(InputError, match=said):
        amber.read_items(write(tmp_path / "a.json", [{"id": 1, "type": "relation", "truth": "no"}, row]))


@pytest.mark.parametrize(
    "rows, said",
    [
        ([{"id": 9, "response": "No"}], "line 1 has the id '9', which the annotations lack"),
        ([{"id": 1, "response": "No"}, {"id": 1, "response": "No"}], "has the id '1' of"),
        ([{"id": 1, "answer": "No"}], "no key 'response'"),
        ([{"id": 1, "response": None}], "give a string"),
        ([{"id": 3, "response": "No"}], "which the queries lack"),
    ],
)
def test_bad_responses(tmp_path, rows, said):
    items = {key: AmberItem(key, dimensions=("relation",), answer=True) for key in ("1", "3")}
    with pytest.raises(InputError, match=said):
        amber.read_responses(write(tmp_path / "r.json", rows), items, {"1": "a.jpg"})


@pytest.mark.parametrize("text", ['{"dog": "puppy"}', "[]", "{"])
def test_bad_relations(tmp_path, text):
    (tmp_path / "relation.json").write_text(text)
    with pytest.raises(InputError, match=r"relation\.json"):
        amber.read_relations(tmp_path / "relation.json")

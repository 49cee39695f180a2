import math

import pytest

from causal_attrib.errors import InputError
from causal_attrib.training.scoring import rewards
from causal_attrib.training.scoring.rewards import REWARDS, choose_reward, last_number


def spoken(text):
    return [{"role": "assistant", "content": text}]


def test_completions_of_trl_and_of_ms_swift_are_judged_alike():
    texts, answer = ["<think> a </think> <answer> yes </answer>", "No."], ["yes", "yes"]
    by_trl = rewards.match(
        prompts=[[]] * 2,
        completions=[spoken(text) for text in texts],
        completion_ids=[[1], [2]],
        answer=answer,
        trainer_state=None,
        log_metric=None,
    )
    assert by_trl == rewards.match(texts, answer=answer, solution=["", ""]) == [1.0, 0.0]


@pytest.mark.parametrize("name", ["match", "choice", "numeric", "yesno", "objects"])
def test_a_row_without_reference_is_left_to_other_rewards(name):
    column = "objects" if name == "objects" else "answer"
    assert REWARDS[name](["a dog"], **{column: [None]}) == [None]
    with pytest.raises(InputError, match=f"The reward {name} needs the column '{column}'"):
        REWARDS[name](["a dog"])


@pytest.mark.parametrize(
    "said, wanted, reward",
    [
        ("B", "B", 1),
        ("b) the dog", "B", 1),
        ("The answer is C.", "(C)", 1),
        ("<answer>D</answer>", "d.", 1),
        ("A dog", "A", 0),
        ("A", "A", 1),
        ("A or B", "A", 0),
        ("I think it is B", "B", 1),
    ],
)
def test_choices(said, wanted, reward):
    assert rewards.choice([said], answer=[wanted]) == [reward]


@pytest.mark.parametrize(
    "said, wanted, reward",
    [
        ("3", "three", 1),
        ("There are 12 of 20, so 12", "12", 1),
        ("1,234.50", "1234.5", 1),
        ("0.33333", "1/3", 1),
        ("0.33", "1/3", 0),
        ("-4 degrees", "-4", 1),
        ("none at all", "0", 0),
        ("1/0", "1", 0),
        ("2e3", "2000", 1),
    ],
)
def test_numbers(said, wanted, reward):
    assert rewards.numeric([said], answer=[wanted]) == [reward]


def test_numbers_in_words_and_ranges():
    assert last_number("pages 3-4") == 4 and last_number("v2.5x") is None and math.isclose(last_number("1 / 8"), 0.125)


@pytest.mark.parametrize(
    "reward, answer, message",
    [("numeric", "blue", "holds no number"), ("choice", "blue", "no option letter"), ("yesno", "blue", "neither yes")],
)
def test_a_reference_of_the_wrong_kind_is_refused(reward, answer, message):
    with pytest.raises(InputError, match=message):
        REWARDS[reward](["blue"], answer=[answer])


def test_objects_are_judged_by_f1_of_classes():
    # Precision 1/2 (the cat is not there), recall 1/3: F1 = 2 * (1/2 * 1/3) / (1/2 + 1/3) = 0.4.
    (reward,) = rewards.objects(["a puppy and a cat"], objects=[["dog", "frisbee", "person"]])
    assert reward == pytest.approx(0.4)


@pytest.mark.parametrize(
    "text, reward",
    [
        ("<think> a </think> <answer> b </answer>", 1),
        ("\n<think>a\nb</think>\n<answer>b</answer>\n", 1),
        ("<think> a </think> <answer> </answer>", 0),
        ("<think> a </think> b", 0),
        ("so <think> a </think> <answer> b </answer>", 0),
        ("<think> a </think> <answer> b </answer> <answer> c </answer>", 0),
        ("<think> <think> a </think> <answer> b </answer>", 0),
    ],
)
def test_format(text, reward):
    assert rewards.format([spoken(text)]) == [reward]


def test_a_label_is_yes_or_no():
    assert rewards.yesno(["Yes.", "no", "It is"], answer=["1", 0, "true"]) == [1.0, 1.0, 0.0]


def test_a_reward_by_name_by_path_and_by_dots():
    assert choose_reward("yesno") is rewards.yesno
    dotted = "causal_attrib.training.scoring.rewards.match"
    assert choose_reward(dotted) is choose_reward("causal_attrib.training.scoring.rewards:match") is rewards.match
    with pytest.raises(InputError, match="There is no reward 'nice'"):
        choose_reward("nice")
    with pytest.raises(InputError, match="has no function 'nice'"):
        choose_reward("causal_attrib.training.scoring.rewards.nice")


def test_what_an_own_reward_needs_must_be_a_column():
    def own(completions, label, log_metric, weight=1.0, **_):
        return [0.0]

    rewards.check_reward("mine:own", own, [{"prompt": [], "label": "a"}], "rows.jsonl")
    with pytest.raises(InputError, match="The reward mine:own needs 'label', which is no column of rows.jsonl"):
        rewards.check_reward("mine:own", own, [{"prompt": [], "answer": "a"}], "rows.jsonl")

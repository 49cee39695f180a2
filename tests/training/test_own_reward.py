"""Rewards of the user's own: what they return is one number per completion, or a sentence names them."""

import asyncio

import numpy as np
import pytest
import torch

from causal_attrib.errors import InputError
from causal_attrib.training.scoring.own_reward import checked, is_async, numbers
from causal_attrib.training.scoring.rewards import check_names, check_not_async, choose_reward
from tests.training.runs import halves_later

SAID = ["a", "b", "c"]


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ([0.5, 1, True], [0.5, 1.0, 1.0]),
        ((None, 1.0, None), [None, 1.0, None]),
        ([None] * 3, [None] * 3),
        (np.arange(3, dtype=np.float64), [0.0, 1.0, 2.0]),
        (torch.arange(3).float(), [0.0, 1.0, 2.0]),
        (np.array([True, False, True]), [1.0, 0.0, 1.0]),
        (range(3), [0.0, 1.0, 2.0]),
    ],
)
def test_what_holds_one_number_per_completion_is_taken(given, wanted):
    assert numbers("mine", given, 3) == wanted


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (None, "returned None; return a list of one number per completion"),
        (1.0, "returned 1.0; return a list"),
        (np.float64(1), "return a list of one number per completion"),
        (np.array(1.0), "return a list of one number per completion"),
        (torch.tensor(1.0), "return a list of one number per completion"),
        ("abc", "returned 'abc'; return a list"),
        ({"reward": [0.0] * 3}, "returned {'reward': [0.0, 0.0, 0.0]}; return a list"),
        ([1.0], "returned 1 values for 3 completions; return one for each"),
        ([1.0, 1.0], "returned 2 values for 3 completions"),
        (["1.0"] * 3, "returned '1.0' where a number should be"),
        ([[1.0], [1.0], [1.0]], "returned [1.0] where a number should be"),
        (np.ones((3, 2)), "where a number should be"),
        ([1.0, float("nan"), 1.0], "returned nan where a number should be; return one number per completion, or None"),
        ([1.0, float("inf"), 1.0], "returned inf where a number should be"),
        ([1e300, 0.0, 0.0], "returned 1e+300 where a number should be"),
        ([1j, 0.0, 0.0], "returned 1j where a number should be"),
        ([0.0, object(), 0.0], "where a number should be"),
    ],
)
def test_anything_else_is_refused_by_name(given, said):
    reward = checked("mine:odd", lambda completions, **_: given)
    with pytest.raises(InputError) as error:
        reward(completions=SAID)
    assert str(error.value).startswith("The reward mine:odd returned") and said in str(error.value)
    assert "\n" not in str(error.value)


def test_a_reward_that_fails_is_named_and_memory_is_not_its_fault():
    def failing(completions, **columns):
        return columns["ground_truth"]

    with pytest.raises(InputError, match=r"The reward mine:failing failed with KeyError \('ground_truth'\); mend it"):
        checked("mine:failing", failing)(completions=SAID)

    def generating(completions, **_):
        yield 1 / 0

    with pytest.raises(InputError, match=r"failed with ZeroDivisionError \(division by zero\)"):
        checked("mine:generating", generating)(completions=SAID)
    for mine in (MemoryError("out"), torch.OutOfMemoryError("out"), InputError("a sentence.")):

        def raising(completions, mine=mine, **_):
            raise mine

        with pytest.raises(type(mine), match=str(mine)):
            checked("mine:raising", raising)(completions=SAID)


@pytest.mark.parametrize(
    "asked",
    [
        lambda c: c.count("a"),
        lambda c: "a" in c,
        lambda c: c == "a",
        lambda c: c != "a",
        lambda c: c.index("a"),
        lambda c: c[0] == "a",
        lambda c: "a" in c[:2],
        lambda c: c.copy() + [] == "a",
    ],
)
def test_messages_that_are_taken_for_text_are_told(asked):
    """TRL hands over lists of messages, and a list holds no text: the reward would be the same throughout."""
    said = [[{"role": "assistant", "content": "a dog"}]] * 2
    reward = checked("mine:wants_text", lambda completions, **_: [float(asked(c)) for c in completions])
    with pytest.raises(InputError, match=r"failed with TypeError \(a completion is a list of messages, and completion"):
        reward(completions=said)
    # Where TRL hands over texts they are texts.
    assert checked("mine:wants_text", lambda completions, **_: ["a" in c for c in completions])(completions=SAID) == [
        1.0,
        0.0,
        0.0,
    ]
    messages = checked(
        "mine", lambda completions, **_: [len(c[-1]["content"]) if c == said[0] else 0 for c in completions]
    )
    assert messages(completions=said) == [5.0, 5.0]


def test_an_asynchronous_one_stays_one():
    from trl.trainer.utils import is_async_callable

    reward = choose_reward("tests.training.runs:halves_later")
    assert is_async(reward) and is_async_callable(reward) and not is_async(checked("x", lambda completions, **_: []))
    assert asyncio.run(reward(completions=SAID)) == asyncio.run(halves_later(completions=SAID)) == [0.5] * 3
    with pytest.raises(InputError, match="tests.training.runs:halves_later is asynchronous, which cepo does not take"):
        check_not_async("tests.training.runs:halves_later", reward, "cepo")


def test_what_is_written_in_c_is_refused():
    with pytest.raises(InputError, match="end its parameters with"):
        choose_reward("builtins:dict")


@pytest.mark.parametrize("name", ("prompts", "completions", "completion", "completion_ids", "trainer_state"))
def test_a_column_that_trl_would_take_for_its_own_is_refused(name):
    check_names([{"prompt": [], "answer": "a"}], "rows.jsonl")
    with pytest.raises(InputError, match=f"rows.jsonl row 2 has a column '{name}', a name that TRL uses itself"):
        check_names([{"prompt": []}, {"prompt": [], name: "x"}], "rows.jsonl")

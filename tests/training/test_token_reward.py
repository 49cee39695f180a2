"""Rewards of the user's own for each token: numbers for all of them, or a sentence names the reward."""

import math

import numpy as np
import pytest
import torch

from causal_attrib.errors import InputError
from causal_attrib.training.scoring.rollout import Rollout
from causal_attrib.training.scoring.token_reward import TokenReward
from tests.tiny_models import tiny
from tests.training.runs import noise_rows

IDS = [(5, 9, 11), (7,)]
MASK = torch.tensor([[1, 1, 1, 0], [1, 0, 0, 0]])


def judged(function, mask=MASK):
    vlm, rows = tiny("llava_clip_llama"), [row | {"weight": n} for n, row in enumerate(noise_rows(2))]
    rollouts = [Rollout(row["image"], row["prompt"], ids) for row, ids in zip(rows, IDS, strict=True)]
    reward = TokenReward("mine:f", lambda **told: function(told))
    return reward(rows, rollouts, [row["image"] for row in rows], torch.zeros(MASK.shape), mask, vlm.tokenizer)


@pytest.mark.parametrize(
    "given",
    [
        [[1.0, 2.0, 3.0], [4.0]],
        ([1, 2, 3], np.array([4.0])),
        torch.tensor([[1.0, 2, 3, 9], [4, 9, 9, math.nan]]),
        np.array([[1.0, 2, 3, 9], [4, 9, 9, 9]]),
        [torch.tensor([1.0, 2, 3, 9]), [4.0]],
    ],
)
def test_numbers_for_each_token_are_taken_and_padding_is_not(given):
    assert judged(lambda told: given).tolist() == [[1, 2, 3, 0], [4, 0, 0, 0]]


def test_what_it_is_told():
    seen = {}
    judged(lambda told: seen.update(told) or [[0.0] * 3, [0.0]])
    assert set(seen) >= {"completions", "completion_ids", "tokens", "images", "logprobs", "mask", "prompt", "answer"}
    assert seen["completion_ids"] == [[5, 9, 11], [7]] and seen["weight"] == [0, 1]
    assert [len(parts) for parts in seen["tokens"]] == [3, 1] and seen["mask"].dtype == torch.bool


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (None, r"The token reward mine:f returned None; return numbers of shape \(2, 4\), or for each completion"),
        (1.0, "returned 1.0; return numbers"),
        ("abc", "returned 'abc'"),
        ([[1.0, 2.0, 3.0]], "returned 1 lists for 2 completions"),
        ([[1.0, 2.0], [4.0]], r"returned the shape \(2,\) for completion 1, which has 3 tokens"),
        ([[1.0, 2.0, 3.0], None], "returned None for completion 2"),
        ([[1.0, 2.0, "x"], [4.0]], r"returned \[1.0, 2.0, 'x'\] for completion 1"),
        (np.zeros((4, 2)), r"returned the shape \(4, 2\); return numbers of shape \(2, 4\)"),
        ([[1.0, math.nan, 3.0], [4.0]], "returned nan for token 2 of completion 1; return a number for each token"),
        ([[1.0, 2.0, 3.0], [-math.inf]], "returned -inf for token 1 of completion 2"),
    ],
)
def test_what_else_is_returned_is_told(given, said):
    with pytest.raises(InputError, match=f"^The token reward mine:f {said.removeprefix('The token reward mine:f ')}"):
        judged(lambda told: given)


def test_tokens_that_do_not_count_need_no_number():
    held_back = torch.tensor([[0, 0, 0, 0], [1, 0, 0, 0]])
    assert judged(lambda told: [[math.nan] * 3, [4.0]], held_back).sum() == 4


def test_a_function_that_fails_or_cannot_be_called_is_told():
    def fails(told):
        raise KeyError("depth")

    with pytest.raises(InputError, match=r"mine:f failed with KeyError \('depth'\); mend it"):
        judged(fails)
    with pytest.raises(InputError, match="mine:f is given every column by name; end its parameters with"):
        TokenReward("mine:f", lambda completions: None)
    with pytest.raises(InputError, match="tests.training.runs:halves_later is asynchronous"):
        TokenReward("tests.training.runs:halves_later")
    with pytest.raises(InputError, match="has no function 'nothing'"):
        TokenReward("tests.training.runs:nothing")


def test_a_function_that_ends_the_program_does_not_end_the_run_as_if_it_were_done():
    def leaves(told):
        raise SystemExit(0)

    with pytest.raises(InputError, match=r"mine:f failed with SystemExit \(0\)"):
        judged(leaves)

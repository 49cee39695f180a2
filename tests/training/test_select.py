import pytest

from causal_attrib.errors import InputError
from causal_attrib.training.data.select import sample_rewards, select_prompts
from causal_attrib.training.scoring import rewards
from tests.training.runs import scene_rows


def test_the_prompts_that_are_right_now_and_then_are_kept():
    rows = [{"prompt": name} for name in "abcde"]
    # Variances p (1 - p): 0, 3/16, 1/4, 0, 3/16 (methods 4.1); 3 of 5 are kept.
    given = [[1, 1, 1, 1], [0, 0, 0, 1], [0, 1, 0, 1], [0, 0, 0, 0], [1, 1, 1, 0]]
    assert [row["prompt"] for row in select_prompts(rows, given, 0.6)] == ["b", "c", "e"]
    assert select_prompts(rows, given, 1.0) == rows


@pytest.mark.parametrize("given", [[[1, 0]], [[1, 0], [1]], []])
def test_rewards_that_do_not_match_are_refused(given):
    with pytest.raises(InputError, match="do not match"):
        select_prompts([{"prompt": "a"}, {"prompt": "b"}], given)


def test_samples_are_rewarded_and_the_same_seed_gives_the_same(bundled):
    rows, told = scene_rows(2), []

    def reward(prompts, completions, answer, **_):
        said = [completion[-1]["content"] for completion in completions]  # as TRL hands them over
        told.extend(said)
        return [float(len(text) % 7) for text in said]

    first = sample_rewards(bundled, rows, reward, 3, longest=12, seed=1)
    assert [len(group) for group in first] == [3, 3] and len(set(told)) > 1
    assert sample_rewards(bundled, rows, reward, 3, longest=12, seed=1) == first
    with pytest.raises(InputError, match="Row 1 gets no reward"):
        sample_rewards(bundled, [rows[0] | {"answer": None}], rewards.match, 2, longest=4)
